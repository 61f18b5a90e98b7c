"""FLUX.2 Klein: one text encoder, latents that are scaled by what the VAE has seen, no guidance."""

from typing import Any, ClassVar

import torch
from diffusers import Flux2KleinPipeline

from gpu_handlers.train.lora.family import Words


class Flux2:
    """FLUX.2 Klein, 4B and 9B: the base model is trained, and its distilled twin has the same form."""

    pipeline: Any = Flux2KleinPipeline
    readers: tuple[str, ...] = ("text_encoder", "tokenizer")
    modules: str = (
        r"transformer_blocks\.\d+\.(?:attn\.(?:to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"
        r"|ff(?:_context)?\.linear_(?:in|out))"
        r"|single_transformer_blocks\.\d+\.attn\.(?:to_qkv_mlp_proj|to_out)"
    )
    sampling: ClassVar[dict[str, Any]] = {"num_inference_steps": 20, "guidance_scale": 4.0}

    def read(self, pipe: Any, text: str) -> Words:
        """Read a caption with Qwen3."""
        embeds, _ = pipe.encode_prompt(text)
        return {"encoder_hidden_states": embeds[0]}

    def look(self, vae: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See a picture."""
        seen = Flux2KleinPipeline._patchify_latents(vae.encode(picture).latent_dist.mode())  # noqa: SLF001 - diffusers' trainer does so
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(seen)
        spread = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(seen)
        places = Flux2KleinPipeline._prepare_latent_ids(seen)[0].to(seen.device)  # noqa: SLF001 - the same
        return Flux2KleinPipeline._pack_latents((seen - mean) / spread)[0], places  # noqa: SLF001 - the same

    def shift(self, length: int) -> float:  # noqa: ARG002 - one signature for all families
        """Shift nothing, as diffusers' own trainer."""
        return 0.0

    def guess(
        self, transformer: Any, noisy: torch.Tensor, sigma: torch.Tensor, places: torch.Tensor, words: Words
    ) -> torch.Tensor:
        """Guess; the base model of Klein takes no guidance."""
        count, length, _ = words["encoder_hidden_states"].shape
        text = torch.zeros(count, length, 4, device=noisy.device, dtype=torch.long)
        text[..., 3] = torch.arange(length)
        guidance = torch.ones_like(sigma) if transformer.config.guidance_embeds else None
        guessed: torch.Tensor = transformer(
            hidden_states=noisy, timestep=sigma, guidance=guidance, txt_ids=text, img_ids=places, **words,
            return_dict=False,
        )[0]  # fmt: skip
        return guessed

    def paint(self, words: Words, empty: Words) -> dict[str, Any]:
        """Tell the words, and none for the second run that guidance needs."""
        return {
            "prompt_embeds": words["encoder_hidden_states"][None],
            "negative_prompt_embeds": empty["encoder_hidden_states"][None],
        }
