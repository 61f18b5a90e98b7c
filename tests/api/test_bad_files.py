"""Files that cannot be taken: uploads of every kind, and addresses that are not for callers to name."""

import io
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from urllib3.filepost import encode_multipart_formdata
from werkzeug.test import TestResponse

from api import app as house
from settings import settings
from tests import photos
from tests.api.asking import assert_problem, paint

pytestmark = pytest.mark.usefixtures("no_new_job")

FIELDS = {"model_name": "Bag", "trigger_word": "TOK_BAG"}


def pack(entries: Mapping[str, bytes]) -> bytes:
    """Make a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def train(client: FlaskClient, archive: bytes, name: str = "photos.zip", **fields: str) -> TestResponse:
    """Send a training as a browser would."""
    return client.post("/api/train", data={**FIELDS, **fields, "images": (io.BytesIO(archive), name)})


def send_form(client: FlaskClient, path: str, fields: Mapping[str, Any]) -> TestResponse:
    """Send a large form; Flask's own client would write it to a file and leave that open."""
    body, content_type = encode_multipart_formdata(fields)
    return client.post(path, data=body, content_type=content_type)


BAD_ZIPS = {
    "nothing": (b"", "bad_archive"),
    "no zip": (b"PK not a zip at all", "bad_archive"),
    "empty": (pack({}), "bad_archive"),
    "without pictures": (pack({"readme.txt": b"hello"}), "bad_archive"),
    "slip": (pack({"../../etc/a.png": paint()}), "bad_archive"),
    "absolute": (pack({"/etc/a.png": paint()}), "bad_archive"),
    "with a text named as a picture": (pack({"a.png": b"no picture"}), "too_few_photos"),
    "of three photos": (photos.pack_some(3), "too_few_photos"),
    "cut": (pack({"a.png": paint()})[:-30], "bad_archive"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_a_bad_zip_is_refused(client: FlaskClient, case: str) -> None:
    archive, code = BAD_ZIPS[case]
    assert_problem(train(client, archive), 422, code)


def test_a_bomb_is_refused(client: FlaskClient) -> None:
    problem = assert_problem(train(client, pack({"a.png": bytes(64 * 2**20)})), 413, "too_large")
    assert "a.png" in problem["detail"]


def test_a_zip_too_large_is_refused(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.application.config, "MAX_CONTENT_LENGTH", 2**20)
    answer = send_form(client, "/api/train", {**FIELDS, "images": ("a.zip", os.urandom(2**20))})
    assert_problem(answer, 413, "too_large")


def test_a_training_needs_its_zip_in_the_right_field(client: FlaskClient) -> None:
    assert_problem(client.post("/api/train", data=FIELDS, content_type="multipart/form-data"), 422, "missing_input")
    other = client.post("/api/train", data={**FIELDS, "image": (io.BytesIO(pack({"a.png": paint()})), "a.zip")})
    assert "images" in assert_problem(other, 422, "unknown_field")["detail"]
    two = [(io.BytesIO(pack({"a.png": paint()})), "a.zip"), (io.BytesIO(b""), "b.zip")]
    assert (
        "2 files"
        in assert_problem(client.post("/api/train", data={**FIELDS, "images": two}), 400, "bad_request")["detail"]
    )


def test_the_fields_of_a_form_are_checked_as_those_of_json_are(client: FlaskClient) -> None:
    good = pack({"a.png": paint()})
    for wrong in ({"steps": "many"}, {"steps": "25.0"}, {"lr": "nan"}, {"lr": "1e999"}, {"steps": "9" * 5000},
                  {"batch_size": "0"}, {"model_name": "a\0b"}, {"trigger_word": "../x"}):  # fmt: skip
        problem = assert_problem(train(client, good, **wrong), 422, "invalid_input")
        assert next(iter(wrong)) in problem["detail"]
    assert "Did you mean steps" in assert_problem(train(client, good, stepz="5"), 422, "unknown_field")["detail"]
    twice = client.post("/api/train", data={**FIELDS, "steps": ["5", "6"], "images": (io.BytesIO(good), "a.zip")})
    assert "twice" in assert_problem(twice, 400, "bad_request")["detail"]


def test_a_form_of_ten_thousand_fields_is_refused(client: FlaskClient) -> None:
    fields = {f"field{n}": "x" for n in range(10_000)}
    for path in ("/api/train", "/api/templates", "/api/uploads"):
        assert_problem(send_form(client, path, fields), 413, "too_large")
    assert house.MOST_PARTS < 10_000


def test_a_field_of_a_megabyte_is_refused(client: FlaskClient) -> None:
    form = {"name": "n", "prompt": "x" * 2**20}
    assert_problem(send_form(client, "/api/templates", form), 413, "too_large")


BAD_PICTURES = {
    "nothing": b"",
    "text": b"no picture",
    "a cut PNG": paint()[:-40],
    "a GIF": b"GIF89a" + bytes(50),
    "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    "a PDF": b"%PDF-1.7 " + bytes(50),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_what_is_no_picture_is_refused(client: FlaskClient, case: str) -> None:
    for path, fields in (("/api/uploads", {}), ("/api/templates", {"name": "n", "prompt": "p"})):
        answer = client.post(path, data={**fields, "image": (io.BytesIO(BAD_PICTURES[case]), "a.png")})
        assert_problem(answer, 422, "not_an_image")


def test_a_picture_too_large_is_refused(client: FlaskClient) -> None:
    answer = send_form(client, "/api/uploads", {"image": ("a.png", paint() + bytes(21 * 2**20))})
    assert "20 MB" in assert_problem(answer, 413, "too_large")["detail"]


def test_an_upload_needs_its_picture(client: FlaskClient) -> None:
    for answer in (
        client.post("/api/uploads"),
        client.post("/api/uploads", json={"image": "x"}),
        client.post("/api/uploads", data={"image": "text"}, content_type="multipart/form-data"),
        client.post("/api/uploads", data=b"--x", content_type="multipart/form-data"),
        client.post("/api/uploads", data=b"--x", content_type="multipart/form-data; boundary=x"),
    ):
        assert "image" in assert_problem(answer, 422, "missing_input")["detail"]


@pytest.mark.parametrize("name", ["../../x.png", "..\\x.png", "x" * 5000, "a/../b.svg"])
def test_the_name_of_an_upload_means_nothing(client: FlaskClient, name: str) -> None:
    answer = client.post("/api/uploads", data={"image": (io.BytesIO(paint()), name)})
    assert answer.status_code == 201
    assert answer.get_json()["r2_path"].startswith(f"r2://{settings().s3_bucket}/uploads/")


BAD_ADDRESSES = [
    ("r2://someone-else/uploads/a.png", 422, "path_not_allowed"),
    ("r2://packshot/claims/a.png", 422, "path_not_allowed"),
    ("r2://packshot/models/a.png", 422, "path_not_allowed"),
    ("r2://packshot/uploads/../claims/a.png", 422, "path_not_allowed"),
    ("r2://packshot/uploads/%2e%2e/a.png", 422, "path_not_allowed"),
    ("r2://packshot/uploads//a.png", 422, "path_not_allowed"),
    ("r2://packshot/uploads\\a.png", 422, "path_not_allowed"),
    ("r2://packshot/uploads/a\nb.png", 422, "path_not_allowed"),
    ("r2://packshot", 422, "path_not_allowed"),
    ("r2://packshot/uploads/missing.png", 404, "file_not_found"),
    ("/etc/passwd", 422, "path_not_allowed"),
    ("http://169.254.169.254/latest/meta-data", 422, "url_blocked"),
    ("https://169.254.169.254/latest/meta-data", 422, "url_blocked"),
    ("https://127.0.0.1/a.png", 422, "url_blocked"),
    ("https://[::1]/a.png", 422, "url_blocked"),
    ("https://localhost/a.png", 422, "url_blocked"),
    ("file:///etc/passwd", 422, "url_blocked"),
    ("ftp://example.com/a.png", 422, "url_blocked"),
    ("data:image/png;base64,AAAA", 422, "path_not_allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "status", "code"), BAD_ADDRESSES)
def test_an_address_that_is_not_for_callers_is_refused(
    client: FlaskClient, picture: str, address: str, status: int, code: str
) -> None:
    for path, asked in (
        ("/api/mask", {"image_url": address, "object_name": "bag"}),
        ("/api/video/async", {"image_url": address}),
        ("/api/inpaint/async", {"scene_url": picture, "reference_url": address}),
    ):
        assert_problem(client.post(path, json=asked), status, code)


def test_a_picture_is_no_dataset(client: FlaskClient, picture: str) -> None:
    assert_problem(client.post("/api/train", json={**FIELDS, "images": picture}), 422, "bad_archive")
    for address in ("https://example.com/a.zip", "a.zip"):
        assert_problem(client.post("/api/train", json={**FIELDS, "images": address}), 422, "url_blocked")
