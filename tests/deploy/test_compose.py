"""docker-compose.yml: what Compose understands, what our settings make of it, and what a container may do."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dotenv import dotenv_values
from sqlalchemy import make_url

from benchmarks.service import size
from scripts import images
from settings import Settings
from tests.deploy.compose import ROOT, is_ours, load, replicas, services
from tests.tools.seed import OURS

GPU_BOX = {name: value or "" for name, value in dotenv_values(ROOT / "deploy/gpu.env").items()}
PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "default": services(), "split": services("split"), "gpu": services(**GPU_BOX),
}  # fmt: skip
EVERY = [(profile, name) for profile, known in PROFILES.items() for name in known]

#: Settings that `.env` does not reach: who gives them, or why nobody does.
GIVEN = {
    "DATABASE_URL": "made of POSTGRES_PASSWORD", "REDIS_URL": "made of VALKEY_PASSWORD",
    "PACKSHOT_TOOLS": "the services of the profile split", "METRICS_BIND": "api and watch",
    "COMFYUI_URL": "the GPU box's image", "COMFYUI_COMMAND": "the same", "LORA_CACHE_BYTES": "the same",
    "MODELS_DIR": "no image of the file trains with a GPU",
    "GENERATE_PROFILE": "gpu-box alone", "INPAINT_PROFILE": "the same", "VIDEO_PROFILE": "the same",
    "PACKSHOT_DATA_DIR": "of `packshot up`", "API_PORT": "a port of this machine", "FLOWER_PORT": "the same",
}  # fmt: skip

#: Of these, what reaches the GPU box.
PROFILED = {"GENERATE_PROFILE", "INPAINT_PROFILE", "VIDEO_PROFILE"}

#: The seed's six services, by port.
SEED = {5001: "train", 5002: "generate", 5003: "resolve_template", 5004: "mask", 5005: "inpaint", 5006: "video"}


def test_compose_understands_the_file() -> None:
    schema = json.loads((Path(__file__).parent / "schemas/compose-spec.json").read_text())
    understood = jsonschema.Draft7Validator(schema)
    understood.validate(load())
    assert not understood.is_valid({"services": {"api": {"imge": "x"}}})


def test_without_a_profile_the_whole_house_is_there() -> None:
    servers, ours = {"postgres", "valkey", "s3"}, {"migrate", "api", "worker", "gpu", "watch", "flower"}
    assert PROFILES["default"].keys() == servers | ours
    assert {name for name, one in PROFILES["default"].items() if is_ours(one)} == ours


@pytest.mark.parametrize(("profile", "name"), EVERY)
def test_our_settings_take_what_a_container_is_told(profile: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = PROFILES[profile][name]
    if not is_ours(service):
        return
    for known in Settings.model_fields:
        monkeypatch.delenv(known.upper(), raising=False)
    for variable, value in service["environment"].items():
        assert variable.lower() in Settings.model_fields or variable == "FLOWER_BASIC_AUTH"
        monkeypatch.setenv(variable, value)
    told = Settings()
    assert {make_url(url.get_secret_value()).host for url in (told.database_url, told.redis_url)} == {
        "postgres",
        "valkey",
    }
    assert told.s3_endpoint_url == "http://s3:8333"


def test_every_other_setting_reaches_every_container_of_ours() -> None:
    told = {name.upper(): f"<{name}>" for name in Settings.model_fields}
    for name, service in services("split", "gpu", **told).items():
        if is_ours(service):
            unheard = {variable for variable, value in told.items() if service["environment"].get(variable) != value}
            own = {"ENGINE"} if name in {"gpu", "gpu-box"} else set()
            assert unheard - own == GIVEN.keys() - (PROFILED if name == "gpu-box" else set()), name


def test_the_docs_name_what_env_does_not_reach() -> None:
    page = (ROOT / "docs/compose.md").read_text()
    assert [name for name in GIVEN if f"`{name}`" not in page] == []


def test_servers_and_customers_are_told_the_same_secrets() -> None:
    given = {"POSTGRES_PASSWORD": "one", "VALKEY_PASSWORD": "two", "AWS_SECRET_ACCESS_KEY": "three"}
    known = services(**given)
    api, postgres = known["api"]["environment"], known["postgres"]["environment"]
    assert make_url(api["DATABASE_URL"]).password == postgres["POSTGRES_PASSWORD"] == "one"
    assert make_url(api["DATABASE_URL"]).username == postgres["POSTGRES_USER"]
    assert make_url(api["DATABASE_URL"]).database == postgres["POSTGRES_DB"]
    assert make_url(api["REDIS_URL"]).password == known["valkey"]["environment"]["REDISCLI_AUTH"] == "two"
    assert known["valkey"]["command"][-1] == "two"
    assert known["s3"]["environment"]["AWS_SECRET_ACCESS_KEY"] == api["AWS_SECRET_ACCESS_KEY"] == "three"


def test_r2_takes_the_place_of_the_bucket() -> None:
    known = services(S3_SERVERS="0", S3_ENDPOINT_URL="https://abc.r2.cloudflarestorage.com")
    assert "s3" not in known
    assert known["worker"]["environment"]["S3_ENDPOINT_URL"] == "https://abc.r2.cloudflarestorage.com"
    assert known["migrate"]["depends_on"]["s3"]["required"] is False


def test_valkey_forgets_nothing() -> None:
    command = PROFILES["default"]["valkey"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_split_serves_the_seeds_ports_one_tool_each() -> None:
    served = {}
    for service in PROFILES["split"].values():
        if tool := service.get("environment", {}).get("PACKSHOT_TOOLS"):
            (port,) = service["ports"]
            served[int(port.split(":")[-2])] = tool
    assert served == SEED
    assert set(SEED.values()) == set(OURS)


def test_on_a_gpu_box_no_preview_takes_its_jobs() -> None:
    workers = [name for name, one in PROFILES["gpu"].items() if name in {"gpu", "gpu-box"}]
    assert workers == ["gpu-box"]
    assert PROFILES["gpu"]["gpu-box"]["environment"]["ENGINE"] == "gpu"
    assert {"gpu-box", "api"} <= PROFILES["gpu"].keys()


@pytest.mark.parametrize(("profile", "name"), EVERY)
def test_a_container_can_do_little_and_says_how_it_is(profile: str, name: str) -> None:
    service = PROFILES[profile][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service.get("read_only", False) is ((is_ours(service) or name == "s3") and name != "gpu-box")
    assert ("healthcheck" in service) is (name != "migrate")  # that one ends
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert replicas(service) == 1
    if not is_ours(service) and "build" not in service:
        assert service["user"] in {"postgres", "valkey"}


@pytest.mark.parametrize(("profile", "name"), EVERY)
def test_who_fills_tmp_is_not_killed_for_it(profile: str, name: str) -> None:
    service = PROFILES[profile][name]
    if "build" in service:
        (scratch,) = service["tmpfs"]
        path, _, room = scratch.partition(":size=")
        assert path == "/tmp"
        assert size(room) + 256 * 2**20 <= size(service["deploy"]["resources"]["limits"]["memory"])


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_reached_from_beyond_this_machine(profile: str) -> None:
    published = {name: one["ports"] for name, one in PROFILES[profile].items() if "ports" in one}
    assert {"api", "flower"} <= published.keys()
    assert not {"postgres", "valkey", "s3"} & published.keys()
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("profile", PROFILES)
def test_each_starts_when_what_it_needs_is_there(profile: str) -> None:
    known = PROFILES[profile]
    for name, service in known.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in known or not how.get("required", True), (name, needed)
            assert how["condition"] == ("service_completed_successfully" if needed == "migrate" else "service_healthy")
            assert how["condition"] != "service_healthy" or "healthcheck" in known[needed]
        assert "depends_on" in service or not is_ours(service)


def test_each_image_is_one_that_a_dockerfile_makes() -> None:
    for service in load()["services"].values():
        if build := service.get("build"):
            stages = images.read(ROOT / build["dockerfile"])
            assert build["target"] in stages
            assert service["image"] == f"packshot-{build['target']}"


def test_the_preview_scales_and_so_many_processes_as_one_likes() -> None:
    (option,) = [part for part in services(PREVIEW_PROCESSES="8")["gpu"]["command"] if "autoscale" in part]
    assert option == "--autoscale=8,1"
    shared = images.read()["gpu"].command
    assert [part for part in PROFILES["default"]["gpu"]["command"] if part != "--autoscale=2,1"] == [
        part for part in shared if part != "--autoscale=2,1"
    ]
