"""Find an object in a picture and mask it."""

from pydantic import Field

from tools.contract import Limits, Params, Result, Seed, Settings, Tool
from tools.kinds import Image, MaskedScene, ObjectName

#: The PNG text chunk of a mask that holds the r2:// address of the scene it belongs to.
SCENE_CHUNK = "packshot:scene"


class Masking(Settings):
    """How the mask is made."""

    seed: Seed = None
    mask_dilation: int = Field(50, ge=0, le=512, description="Pixels by which the mask grows beyond the object.")
    mask_blur: int = Field(50, ge=0, le=512, description="Pixels over which the mask's edge fades.")


class MaskParams(Masking, Params):
    """What mask is told."""

    image_url: Image = Field(
        max_length=2048, description="The picture (r2:// or https://).", examples=["https://shop.example/handbag.jpg"]
    )
    object_name: ObjectName = Field(
        min_length=1,
        max_length=200,
        description="What to find, such as headphone or shoe; a trained product by its trigger word or model name.",
        examples=["handbag"],
    )


class MaskResult(Result):
    """What mask answers."""

    success: bool = True
    image_url: str
    r2_path: MaskedScene
    object_name: str
    masking_params: Masking
    duration_seconds: float


MASK = Tool(
    "mask", "Find an object in a picture and mask it.", MaskParams, MaskResult,
    files="masks", prefix="masks/", limits=Limits(timeout_s=300),
)  # fmt: skip
