"""FLUX.1: two text encoders, latents in pairs of pairs, a guidance that is told to the model."""

from typing import Any, ClassVar

import torch
from diffusers import FluxPipeline

from gpu_handlers.train.lora.family import Words


class Flux1:
    """FLUX.1-dev, and what has its form."""

    pipeline: Any = FluxPipeline
    readers: tuple[str, ...] = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    modules: str = (
        r"transformer_blocks\.\d+\.(?:attn\.(?:to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"
        r"|ff(?:_context)?\.net\.(?:0\.proj|2))"
        r"|single_transformer_blocks\.\d+\.(?:attn\.to_[qkv]|proj_mlp|proj_out)"
    )
    sampling: ClassVar[dict[str, Any]] = {"num_inference_steps": 20, "guidance_scale": 3.5}

    def read(self, pipe: Any, text: str) -> Words:
        """Read a caption with CLIP and T5."""
        embeds, pooled, _ = pipe.encode_prompt([text], max_sequence_length=512)
        return {"encoder_hidden_states": embeds[0], "pooled_projections": pooled[0]}

    def look(self, vae: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See a picture."""
        seen = (vae.encode(picture).latent_dist.mode() - vae.config.shift_factor) * vae.config.scaling_factor
        _, channels, height, width = seen.shape
        latents = FluxPipeline._pack_latents(seen, 1, channels, height, width)  # noqa: SLF001 - diffusers' trainer does so
        places = FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, seen.device, seen.dtype)  # noqa: SLF001 - the same
        return latents[0], places

    def shift(self, length: int) -> float:
        """Shift as in sampling: 0.5 at 256 latents, 1.15 at 4096."""
        return 0.5 + (length - 256) * (1.15 - 0.5) / (4096 - 256)

    def guess(
        self, transformer: Any, noisy: torch.Tensor, sigma: torch.Tensor, places: torch.Tensor, words: Words
    ) -> torch.Tensor:
        """Guess at guidance 1: the model was distilled, and what it learns shall hold at any guidance."""
        guidance = torch.ones_like(sigma) if transformer.config.guidance_embeds else None
        text = torch.zeros(words["encoder_hidden_states"].shape[1], 3, device=noisy.device, dtype=noisy.dtype)
        guessed: torch.Tensor = transformer(
            hidden_states=noisy, timestep=sigma, guidance=guidance, txt_ids=text, img_ids=places[0], **words,
            return_dict=False,
        )[0]  # fmt: skip
        return guessed

    def paint(self, words: Words, empty: Words) -> dict[str, Any]:  # noqa: ARG002 - one signature for all families
        """Tell the words alone: its guidance needs no second run."""
        told = {"encoder_hidden_states": "prompt_embeds", "pooled_projections": "pooled_prompt_embeds"}
        return {told[name]: words[name][None] for name in words}
