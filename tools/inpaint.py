"""Put a product into the masked place of a scene."""

from pydantic import Field

from tools.contract import Limits, Params, Result, Seed, Settings, Tool
from tools.kinds import ChosenImage, Image, MaskedScene
from tools.texts import Text


class Inpainting(Settings):
    """How the place is filled."""

    prompt: Text = Field("product on a surface", max_length=4000, description="What the place shall show.")
    seed: Seed = None
    steps: int = Field(4, ge=1, le=100, description="Sampling steps.")
    denoise: float = Field(1.0, ge=0, le=1, description="How much of what was there gives way to the new.")
    guidance: float = Field(
        4.0, ge=0, le=30, description="Flux guidance. FLUX.2 Klein takes none, which a warning then says."
    )


class InpaintParams(Inpainting, Params):
    """What inpaint is told."""

    scene_url: MaskedScene = Field(
        max_length=2048,
        description="The masked scene (r2:// or https://): the mask in the red channel, as mask returns it.",
        examples=["https://shop.example/masked-scene.png"],
    )
    reference_url: ChosenImage = Field(
        max_length=2048,
        description="A picture of the product (r2:// or https://).",
        examples=["https://shop.example/handbag.jpg"],
    )
    mask_url: ChosenImage | None = Field(
        None, max_length=2048, description="The mask, if scene_url is the bare scene without one."
    )


class InpaintResult(Result):
    """What inpaint answers."""

    success: bool = True
    image_url: str
    r2_path: Image
    inpainting_params: Inpainting
    duration_seconds: float


INPAINT = Tool(
    "inpaint", "Put a product into the masked place of a scene.", InpaintParams, InpaintResult,
    files="inpainted", limits=Limits(timeout_s=600),
)  # fmt: skip
