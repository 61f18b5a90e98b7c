"""The seed's tables and bodies, as data."""

from typing import Any

from pydantic_core import PydanticUndefined

from tools.catalog import TOOLS

REQUIRED = PydanticUndefined

#: The catalog as it stands in the code: other tests add a tool of their own to it.
OURS = {name: tool for name, tool in TOOLS.items() if tool.params.__module__.startswith("tools.")}

#: The seed's tables of parameters, to the letter; None is what it calls random. `mask_url` and `count` are ours.
SEED: dict[str, dict[str, Any]] = {
    "generate": {
        "model_id": REQUIRED, "prompt": REQUIRED, "lora_scale": 1.0, "num_inference_steps": 25, "width": 1024,
        "height": 1024, "seed": None, "guidance_scale": 1.0, "negative_prompt": "blurry, low quality, watermark",
        "count": 1,
    },
    "mask": {"image_url": REQUIRED, "object_name": REQUIRED, "seed": None, "mask_dilation": 50, "mask_blur": 50},
    "inpaint": {
        "scene_url": REQUIRED, "reference_url": REQUIRED, "prompt": "product on a surface", "seed": None, "steps": 4,
        "denoise": 1.0, "guidance": 4.0, "mask_url": None,
    },
    "video": {
        "image_url": REQUIRED, "prompt": "camera slowly circles around the product", "width": 832, "height": 480,
        "length": 33, "steps": 20, "seed": None,
    },
    "train": {
        "images": REQUIRED, "model_name": REQUIRED, "trigger_word": REQUIRED, "steps": 1000, "lr": 1e-4,
        "lora_rank": 16, "batch_size": 1, "resolution": 1024,
    },
    "resolve_template": {"template_id": REQUIRED, "trigger_word": REQUIRED},
}  # fmt: skip

#: The least that each tool must be given.
LEAST: dict[str, dict[str, Any]] = {
    "generate": {"model_id": 6, "prompt": "TOK_HANDBAG on a table"},
    "mask": {"image_url": "r2://packshot/uploads/a.png", "object_name": "headphone"},
    "inpaint": {"scene_url": "r2://packshot/masks/a.png", "reference_url": "https://example.com/b.jpg"},
    "video": {"image_url": "r2://packshot/generated/a.png"},
    "train": {"images": "r2://packshot/uploads/a.zip", "model_name": "Handbag", "trigger_word": "TOK_HANDBAG"},
    "resolve_template": {"template_id": "a", "trigger_word": "TOK_HANDBAG"},
}

#: The seed's bodies: their keys, in their order; of a part that shows settings, the keys of that part.
ANSWERS: dict[str, dict[str, Any]] = {
    "generate": {
        "success": True, "image_url": "/api/images/a.png", "r2_path": "r2://packshot/generated/a.png", "model_id": 6,
        "prompt": "TOK_HANDBAG on a table",
        "generation_params": ["lora_scale", "width", "height", "steps", "seed", "guidance_scale", "negative_prompt"],
        "duration_seconds": 45.2,
    },
    "mask": {
        "success": True, "image_url": "/api/masks/a.png", "r2_path": "r2://packshot/masks/a.png",
        "object_name": "headphone", "masking_params": ["seed", "mask_dilation", "mask_blur"], "duration_seconds": 12.3,
    },
    "inpaint": {
        "success": True, "image_url": "/api/inpainted/a.png", "r2_path": "r2://packshot/generated/a.png",
        "inpainting_params": ["prompt", "seed", "steps", "denoise", "guidance"], "duration_seconds": 25.1,
    },
    "video": {
        "success": True, "video_url": "/api/videos/a.mp4", "r2_path": "r2://packshot/generated/a.mp4",
        "video_params": ["prompt", "seed", "width", "height", "length", "steps"], "duration_seconds": 120.5,
    },
    "train": {
        "model_id": 6, "job_id": "b", "model_name": "Handbag", "trigger_word": "TOK_HANDBAG", "status": "completed",
        "model_string": "r2://packshot/models/a.safetensors",
    },
    "resolve_template": {
        "template_id": "a", "template_name": "Girl with product", "original_prompt": "a trigger_keyword",
        "resolved_prompt": "a TOK_HANDBAG", "trigger_word": "TOK_HANDBAG",
    },
}  # fmt: skip
