"""Generate a picture of a trained product."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tools.contract import Limits, Params, Prompt4k, Result, Seed, Settings, Tool
from tools.kinds import Image, Lora, Prompt

#: Pixels in all; more than this no base model of ours was trained on.
LARGEST_AREA = 4 * 2**20

Side = Annotated[int, Field(ge=256, le=4096, multiple_of=16)]


class Generation(Settings):
    """How the picture is made."""

    lora_scale: float = Field(1.0, ge=0, le=2, description="Strength of the product's LoRA, for model and CLIP.")
    width: Side = Field(1024, description="Width in pixels, a multiple of 16.")
    height: Side = Field(1024, description="Height in pixels, a multiple of 16.")
    num_inference_steps: int = Field(25, ge=1, le=100, serialization_alias="steps", description="Sampling steps.")
    seed: Seed = None
    guidance_scale: float = Field(1.0, ge=0, le=30, description="How closely the prompt is followed (ComfyUI's cfg).")
    negative_prompt: Prompt4k = Field(
        "blurry, low quality, watermark",
        description="What to avoid. On FLUX it has no effect at guidance_scale 1.0, which a warning then says.",
    )


class GenerateParams(Generation, Params):
    """What generate is told."""

    model_id: Lora = Field(
        ge=1, le=2**31 - 1, description="Id of a trained model: GET /api/models lists them.", examples=[1]
    )
    prompt: Prompt = Field(
        min_length=1, max_length=4000, description="What to show. Name the trigger word.",
        examples=["TOK_HANDBAG on a marble table, warm light"],
    )  # fmt: skip
    count: int = Field(1, ge=1, le=8, description="Pictures to make in one job, each with the seed after the last.")

    @model_validator(mode="after")
    def check_area(self) -> Self:
        """Refuse more pixels than the models can do."""
        if self.width * self.height > LARGEST_AREA:
            raise PydanticCustomError(
                "area", "width × height must not exceed 4 megapixels (2048×2048)", {"blamed": ["width"]}
            )
        return self


class Picture(Result):
    """One of several pictures."""

    image_url: str
    r2_path: Image
    seed: int


class GenerateResult(Result):
    """What generate answers."""

    success: bool = True
    image_url: str
    r2_path: Image
    model_id: int
    prompt: str
    generation_params: Generation
    duration_seconds: float
    images: list[Picture] | None = Field(
        None, exclude_if=lambda images: images is None, description="All pictures, if count asks for more than one."
    )


GENERATE = Tool(
    "generate", "Generate a picture of a trained product.", GenerateParams, GenerateResult,
    files="images", limits=Limits(timeout_s=600),
)  # fmt: skip
