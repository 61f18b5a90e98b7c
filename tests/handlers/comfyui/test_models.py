"""The manifests: what each tool needs, told and fetched."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedded.cli import main
from gpu_handlers.comfyui import manifest, pull
from gpu_handlers.comfyui.failures import FOLDERS
from settings import Settings, settings

TOOLS = ["generate", "inpaint", "mask", "train", "video"]


def told(*tools: str) -> str:
    done = CliRunner().invoke(main, ["models", *tools])
    assert done.exit_code == 0, done.output
    return done.output


def test_every_tool_that_needs_model_files_has_a_manifest() -> None:
    assert manifest.known_tools() == TOOLS


@pytest.mark.parametrize("tool", TOOLS)
def test_every_file_is_told_with_folder_size_source_and_terms(tool: str) -> None:
    said = told(tool)
    needs = manifest.manifest(tool)
    for profile in needs.profiles:
        assert f"{tool}: {profile.name}" in said
        assert f"GPU of {profile.gpu.gigabytes} GB ({profile.gpu.basis})" in said
        for file in profile.files:
            licence = needs.licences[file.licence]
            (line,) = {line for line in said.splitlines() if f"models/{file.folder}/{file.name} " in line}
            assert f"{file.gigabytes:.2f} GB" in line
            assert file.source in line
            assert licence.name in line
            assert ("NOT for commercial use" in line) is not licence.commercial
            assert file.folder in {*FOLDERS.values(), "diffusers"}


def test_the_models_that_may_not_earn_money_are_those_that_we_know() -> None:
    barred = {
        file.name
        for tool in TOOLS
        for profile in manifest.manifest(tool).profiles
        for file in profile.files
        if not manifest.manifest(tool).licences[file.licence].commercial
    }
    assert barred == {
        "flux1-dev-fp8.safetensors",
        "flux1-dev.safetensors",
        "flux1-krea-dev_fp8_scaled.safetensors",
        "flux-2-klein-9b-fp8.safetensors",
        "FLUX.1-dev",
        "FLUX.2-klein-base-9B",
    }


def test_the_chosen_profile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPAINT_PROFILE", "flux2-klein-4b")
    settings.cache_clear()
    try:
        assert "inpaint: flux2-klein-4b (chosen)" in told("inpaint")
        assert "inpaint: flux2-klein-9b (set INPAINT_PROFILE=flux2-klein-9b)" in told("inpaint")
    finally:
        settings.cache_clear()


def test_every_choice_has_its_setting() -> None:
    several = [tool for tool in TOOLS if len((needs := manifest.manifest(tool)).profiles) > 1 and not needs.follows]
    assert {f"{tool}_profile" for tool in several} == {name for name in Settings.model_fields if "profile" in name}


def test_training_follows_the_profile_of_generate_so_that_a_lora_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    bases = {}
    for choice in manifest.manifest("generate").profiles:
        monkeypatch.setenv("GENERATE_PROFILE", choice.name)
        settings.cache_clear()
        bases[choice.name] = manifest.profile("train").name
        assert f"train: {bases[choice.name]} (chosen)" in told("train")
    monkeypatch.undo()
    settings.cache_clear()
    assert bases == {
        "flux1-dev-fp8": "flux1-dev", "flux1-dev": "flux1-dev", "flux1-krea-dev-fp8": "flux1-dev",
        "flux2-klein-4b": "flux2-klein-4b", "flux2-klein-9b": "flux2-klein-9b",
    }  # fmt: skip
    assert set(bases.values()) == {choice.name for choice in manifest.manifest("train").profiles}
    assert "train: flux2-klein-4b (set GENERATE_PROFILE=flux2-klein-4b)" in told("train")


def test_a_tool_that_needs_no_model_files_is_named() -> None:
    done = CliRunner().invoke(main, ["models", "resolve_template"])
    assert done.exit_code == 1
    assert "choose among generate, inpaint, mask, train, video" in done.output


def test_custom_nodes_are_pinned() -> None:
    nodes = manifest.manifest("mask").nodes
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", node) or node.startswith("packshot") for node in nodes)


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(file: manifest.ModelFile, folder: Path) -> Path:
        """Stand in for a hub that no test can reach."""
        fetched.append(file.name)
        path = folder / (file.path or file.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        return path

    monkeypatch.setattr(pull, "fetch", fetch)
    pull.main(str(tmp_path), "inpaint")
    names = [file.name for file in manifest.profile("inpaint").files]
    assert fetched == names
    pull.main(str(tmp_path), "inpaint")
    assert fetched == names
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(f"{file.folder}/{file.name}" for file in manifest.profile("inpaint").files)


def test_half_a_model_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_file: manifest.ModelFile, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"half")
        raise OSError("the connection broke off")

    monkeypatch.setattr(pull, "fetch", fail)
    with pytest.raises(OSError, match="broke off"):
        pull.main(str(tmp_path), "inpaint")
    assert not [path for path in tmp_path.rglob("*.safetensors") if not path.name.startswith(".")]
