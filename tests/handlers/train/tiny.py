"""Base models of random numbers, as small as their forms allow, in diffusers' own folders."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

#: Width of the text encoders, and of the base models.
TEXT, WIDTH = 32, 128


def make_flux1(folder: Path) -> Path:
    """Make a FLUX.1 with one block of each kind."""
    torch.manual_seed(1)
    transformer = FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=128, num_attention_heads=1,
        joint_attention_dim=TEXT, pooled_projection_dim=TEXT, guidance_embeds=True,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), latent_channels=16, norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
        mid_block_add_attention=False,
    )  # fmt: skip
    clip = CLIPTextConfig(
        hidden_size=TEXT, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=600,
        projection_dim=TEXT, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    t5 = T5Config(
        d_model=TEXT, d_ff=64, d_kv=16, num_layers=2, num_heads=2, vocab_size=600, feed_forward_proj="gated-gelu"
    )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae, transformer=lively(transformer), text_encoder=CLIPTextModel(clip), text_encoder_2=T5EncoderModel(t5),
        tokenizer=clip_tokenizer(folder), tokenizer_2=T5TokenizerFast(vocab=letters(), extra_ids=0),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def make_flux2(folder: Path) -> Path:
    """Make a FLUX.2 Klein with one block of each kind."""
    torch.manual_seed(2)
    transformer = Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, attention_head_dim=128, num_attention_heads=1,
        joint_attention_dim=3 * TEXT, guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), latent_channels=32, norm_num_groups=4, layers_per_block=1,
        mid_block_add_attention=False,
    )  # fmt: skip
    qwen = Qwen3Config(
        hidden_size=TEXT, intermediate_size=32, num_hidden_layers=28, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, vocab_size=600, tie_word_embeddings=True,
    )  # fmt: skip
    tokenizer = Qwen2TokenizerFast(tokenizer_object=words(), pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae, transformer=lively(transformer), text_encoder=Qwen3ForCausalLM(qwen), tokenizer=tokenizer,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def lively(transformer: Any) -> Any:
    """Give the last layer numbers that are not zero, as some models begin with."""
    with torch.no_grad():
        for weight in transformer.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.02)
    return transformer


def words() -> Any:
    """Make a tokenizer that reads bytes."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>"])}
    for letter in pre_tokenizers.ByteLevel.alphabet():
        vocabulary[letter] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def letters() -> list[tuple[str, float]]:
    """List pieces of one letter each, as a tokenizer of T5's form takes them."""
    special = [(word, 0.0) for word in ("<pad>", "</s>", "<unk>", "\u2581")]
    return special + [(chr(code), -2.0) for code in range(33, 127)]


def clip_tokenizer(folder: Path) -> Any:
    """Make one of CLIP's form."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({name: number for number, name in enumerate(names)}))
    merges.write_text("#version: 0.2\n")
    return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
