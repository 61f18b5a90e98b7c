"""`packshot models`: what ComfyUI must have for each tool, from whom, and under which terms."""

from collections.abc import Iterator

from gpu_handlers.comfyui.manifest import Manifest, ModelFile, Profile, manifest, profile


def describe(tool: str) -> Iterator[str]:
    """Describe what a tool needs: each choice of models, the chosen one first marked, and the custom nodes."""
    needs, chosen = manifest(tool), profile(tool)
    for choice in needs.profiles:
        yield from describe_profile(tool, choice, needs, chosen=choice == chosen)
    for node in needs.nodes:
        yield f"  custom node  {node}"
    yield ""


def describe_profile(tool: str, choice: Profile, needs: Manifest, *, chosen: bool) -> Iterator[str]:
    """Describe one choice of models."""
    several = len(needs.profiles) > 1
    how = "chosen" if chosen else f"set {(needs.follows or tool).upper()}_PROFILE={choice.name}"
    yield f"{tool}: {choice.name}{f' ({how})' if several else ''}"
    yield f"  GPU of {choice.gpu.gigabytes} GB ({choice.gpu.basis})"
    for file in choice.files:
        yield describe_file(file, needs)
    yield f"  {sum(file.gigabytes for file in choice.files):6.2f} GB in all"


def describe_file(file: ModelFile, needs: Manifest) -> str:
    """Describe one file in a line."""
    licence = needs.licences[file.licence]
    terms = licence.name if licence.commercial else f"{licence.name}: NOT for commercial use"
    return f"  {file.gigabytes:6.2f} GB  models/{file.folder}/{file.name}  [{terms}]  from {file.source}"
