"""What may be named, and what not."""

import pytest

from settings import settings
from storage.address import Address, ours, parse, readable
from tools.errors import PathNotAllowed

OURS = f"r2://{settings().s3_bucket}"


def test_an_address_reads_as_it_is_written() -> None:
    assert str(parse("r2://bkt/generated/a b/ü.png")) == "r2://bkt/generated/a b/ü.png"
    assert parse("r2://bkt/models/x") == Address("bkt", "models/x")


@pytest.mark.parametrize("prefix", ["uploads", "datasets", "generated", "masks"])
def test_a_caller_may_name_what_is_readable(prefix: str) -> None:
    address = readable(f"{OURS}/{prefix}/x.png")
    assert address == ours(f"{prefix}/x.png")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uploads/x.png",
        "https://example.com/x.png",
        "r2:/packshot/uploads/x.png",
        "R2://packshot/uploads/x.png",
        "r2://",
        "r2:///uploads/x.png",
        "r2://packshot",
        "r2://packshot/",
        "r2://someone-else/uploads/x.png",
        "r2://../evil.safetensors",
        f"{OURS}/models/1.safetensors",
        f"{OURS}/claims/1",
        f"{OURS}/results/1.json",
        f"{OURS}/uploads",
        f"{OURS}/uploads/",
        f"{OURS}/uploadsx/a.png",
        f"{OURS}/uploads/../claims/1",
        f"{OURS}/uploads/./x.png",
        f"{OURS}/uploads//x.png",
        f"{OURS}//uploads/x.png",
        f"{OURS}/uploads/%2e%2e/claims/1",
        f"{OURS}/uploads/%252e%252e/claims/1",
        f"{OURS}/uploads/..\\claims\\1",
        f"{OURS}/uploads/a\nb.png",
        f"{OURS}/uploads/a\r\nSet-Cookie: x",
        f"{OURS}/uploads/a\0.png",
        f"{OURS}/uploads/a\u202egnp.exe",
        f"{OURS}/uploads/\ud800.png",
        f"{OURS}/uploads/{'x' * 505}",
        f"{OURS}/uploads/{'ü' * 260}",
    ],
)
def test_any_other_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PathNotAllowed) as refused:
        readable(text)
    assert refused.value.code == "path_not_allowed"
    assert refused.value.detail.endswith(".")
    assert ":" in refused.value.detail or "Write" in refused.value.detail  # what is wrong, and what to do


def test_the_longest_key_is_just_let_through() -> None:
    assert len(readable(f"{OURS}/uploads/{'x' * 504}").key) == 512
