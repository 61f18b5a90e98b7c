"""Brings the model files of tools into ComfyUI's folder: `python -m gpu_handlers.comfyui.pull /comfyui/models inpaint`.

It runs where ComfyUI is installed, which has huggingface_hub. What is there already is not fetched again; HF_TOKEN
opens what is gated.
"""

import importlib
import shutil
import sys
from pathlib import Path

from gpu_handlers.comfyui.manifest import ModelFile, profile


def main(models: str, *tools: str) -> None:
    """Fetch what the chosen profiles of tools need into a folder."""
    for tool in tools:
        for file in profile(tool).files:
            pull(file, Path(models) / file.folder)


def pull(file: ModelFile, folder: Path) -> None:
    """Fetch one file, or a whole repository for a model that is a folder."""
    path = folder / file.name
    if path.exists():
        return
    print(f"{file.gigabytes:6.2f} GB  {path}", flush=True)
    unfinished = folder / f".{file.name}"
    fetch(file, unfinished).rename(path)
    shutil.rmtree(unfinished, ignore_errors=True)


def fetch(file: ModelFile, folder: Path) -> Path:
    """Download into a folder; returns where the file, or the folder, now is."""
    hub = importlib.import_module("huggingface_hub")  # it is ComfyUI's, and not ours
    if file.path == "":
        return Path(hub.snapshot_download(file.source, local_dir=folder, allow_patterns=list(file.only) or None))
    return Path(hub.hf_hub_download(file.source, file.path or file.name, local_dir=folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
