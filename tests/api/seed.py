"""The contract as data: the bodies and tables that users were promised, to the letter."""

from typing import Any

#: Key → type, in order. A dict is an object of its own.
GENERATE: dict[str, Any] = {
    "success": bool, "image_url": str, "r2_path": str, "model_id": int, "prompt": str,
    "generation_params": {
        "lora_scale": float, "width": int, "height": int, "steps": int, "seed": int, "guidance_scale": float,
        "negative_prompt": str,
    },
    "duration_seconds": float,
}  # fmt: skip
MASK: dict[str, Any] = {
    "success": bool, "image_url": str, "r2_path": str, "object_name": str,
    "masking_params": {"seed": int, "mask_dilation": int, "mask_blur": int},
    "duration_seconds": float,
}  # fmt: skip
INPAINT: dict[str, Any] = {
    "success": bool, "image_url": str, "r2_path": str,
    "inpainting_params": {"prompt": str, "seed": int, "steps": int, "denoise": float, "guidance": float},
    "duration_seconds": float,
}  # fmt: skip
VIDEO: dict[str, Any] = {
    "success": bool, "video_url": str, "r2_path": str,
    "video_params": {"prompt": str, "seed": int, "width": int, "height": int, "length": int, "steps": int},
    "duration_seconds": float,
}  # fmt: skip
BODIES = {"generate": GENERATE, "mask": MASK, "inpaint": INPAINT, "video": VIDEO}

ACCEPTED = {"job_id": str, "status": str}
TRAINING_STATUS = {
    "model_id": int, "job_id": str, "model_name": str, "trigger_word": str, "status": str, "model_string": type(None),
}  # fmt: skip
TRAINING_DONE = {**TRAINING_STATUS, "model_string": str}
RESOLVED = {
    "template_id": str, "template_name": str, "original_prompt": str, "resolved_prompt": str, "trigger_word": str,
}  # fmt: skip

REQUIRED, RANDOM = "required", None

#: Parameter → (JSON type, default).
PARAMETERS: dict[str, dict[str, tuple[str, Any]]] = {
    "generate": {
        "model_id": ("integer", REQUIRED), "prompt": ("string", REQUIRED), "lora_scale": ("number", 1.0),
        "num_inference_steps": ("integer", 25), "width": ("integer", 1024), "height": ("integer", 1024),
        "seed": ("integer", RANDOM), "guidance_scale": ("number", 1.0),
        "negative_prompt": ("string", "blurry, low quality, watermark"),
    },
    "mask": {
        "image_url": ("string", REQUIRED), "object_name": ("string", REQUIRED), "seed": ("integer", RANDOM),
        "mask_dilation": ("integer", 50), "mask_blur": ("integer", 50),
    },
    "inpaint": {
        "scene_url": ("string", REQUIRED), "reference_url": ("string", REQUIRED),
        "prompt": ("string", "product on a surface"), "seed": ("integer", RANDOM), "steps": ("integer", 4),
        "denoise": ("number", 1.0), "guidance": ("number", 4.0),
    },
    "video": {
        "image_url": ("string", REQUIRED), "prompt": ("string", "camera slowly circles around the product"),
        "width": ("integer", 832), "height": ("integer", 480), "length": ("integer", 33), "steps": ("integer", 20),
        "seed": ("integer", RANDOM),
    },
}  # fmt: skip

#: Parameters that we have beside the promised ones.
ADDED = {"inpaint": {"mask_url"}, "generate": {"count"}}

ROUTES = {
    ("GET", "/api/templates"), ("GET", "/api/templates/<template_id>"), ("POST", "/api/templates"),
    ("DELETE", "/api/templates/<template_id>"), ("POST", "/api/templates/<template_id>/resolve"),
    ("GET", "/api/models"), ("GET", "/api/models/<model_id>"), ("GET", "/api/training-config"), ("POST", "/api/train"),
    ("GET", "/api/training-status/<job_id>"),
    ("POST", "/api/generate"), ("POST", "/api/generate/async"), ("GET", "/api/generate/<job_id>"),
    ("GET", "/api/images/<filename>"),
    ("POST", "/api/mask"), ("POST", "/api/mask/async"), ("GET", "/api/mask/<job_id>"), ("GET", "/api/masks/<filename>"),
    ("POST", "/api/inpaint"), ("POST", "/api/inpaint/async"), ("GET", "/api/inpaint/<job_id>"),
    ("GET", "/api/inpainted/<filename>"),
    ("POST", "/api/video"), ("POST", "/api/video/async"), ("GET", "/api/video/<job_id>"),
    ("GET", "/api/videos/<filename>"),
}  # fmt: skip


def shape(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give the keys of an answer with their types, in order."""
    return [(key, shape(value) if isinstance(value, dict) else type(value)) for key, value in body.items()]


def promised(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give the same of a promise."""
    return [(key, promised(value) if isinstance(value, dict) else value) for key, value in body.items()]
