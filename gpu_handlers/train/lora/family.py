"""What differs from one family of base models to the next."""

from typing import Any, ClassVar, Protocol

import torch

#: A caption, as a transformer takes it: tensors by the names of its arguments, for one picture, without a batch.
Words = dict[str, torch.Tensor]


class Family(Protocol):
    """FLUX.1, or FLUX.2: how it sees pictures, reads words, and tells noise from picture."""

    #: The class of its pipeline in diffusers, and what of that reads words.
    pipeline: Any
    readers: tuple[str, ...]
    #: Which modules of its transformer learn: matches their whole names.
    modules: str
    #: How samples are drawn.
    sampling: ClassVar[dict[str, Any]]

    def read(self, pipe: Any, text: str) -> Words:
        """Read a caption."""
        ...

    def look(self, vae: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See a picture (1, 3, height, width; -1 to 1): its latents (length, channels) and their places."""
        ...

    def shift(self, length: int) -> float:
        """Say how far towards noise a picture of so many latents is learnt; 0 is not at all."""
        ...

    def guess(
        self, transformer: Any, noisy: torch.Tensor, sigma: torch.Tensor, places: torch.Tensor, words: Words
    ) -> torch.Tensor:
        """Guess the way from picture to noise, in latents (batch, length, channels), at so much noise (batch)."""
        ...

    def paint(self, words: Words, empty: Words) -> dict[str, Any]:
        """Say what a pipeline without readers is told instead of a prompt; `empty` is the prompt without words."""
        ...
