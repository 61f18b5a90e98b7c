"""ComfyUI's folders, which the handler shares: what came in and went out of a job is deleted there."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from gpu_handlers.comfyui.wire import Wire

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Disk:
    """Where ComfyUI keeps its files."""

    inputs: Path
    outputs: Path
    loras: Path
    #: Where base models may lie, in the order in which ComfyUI looks.
    bases: tuple[Path, ...]

    def clean(self, folder: str) -> None:
        """Delete a job's files; a disk that does not let us is no reason to lose a finished picture."""
        for parent in (self.inputs, self.outputs):
            try:
                shutil.rmtree(parent / folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("files of %s stay in %s: %s", folder, parent, error)


def find(wire: Wire) -> Disk:
    """Ask ComfyUI for its folders, by what it was started with."""
    folders, argv = wire.folders(), wire.arguments()
    home = Path(folders["custom_nodes"][0]).parent
    return Disk(
        inputs=home / said(argv, "--input-directory", "input"),
        outputs=home / said(argv, "--output-directory", "output"),
        loras=Path(folders["loras"][0]),
        bases=tuple(Path(path) for path in folders["diffusion_models"]),
    )


def said(argv: list[str], option: str, default: str) -> str:
    """Find the value of an option."""
    return argv[argv.index(option) + 1] if option in argv[:-1] else default
