"""Turn a picture into a video."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tools.contract import Limits, Params, Result, Seed, Settings, Tool
from tools.kinds import Image, Video
from tools.texts import Text

#: Pixels of one frame, 1280×720: what Wan was trained on at most.
LARGEST_FRAME = 1280 * 720


def check_length(frames: int) -> int:
    """Refuse lengths that Wan cannot do: its video autoencoder takes one frame, then fours."""
    low = (frames - 1) // 4 * 4 + 1
    if frames != low:
        raise PydanticCustomError("length", "must be 4n+1", {"suggestions": [low, low + 4]})
    return frames


Side = Annotated[int, Field(ge=128, le=1280, multiple_of=16)]
Length = Annotated[int, Field(ge=5, le=121), AfterValidator(check_length)]


class Filming(Settings):
    """How the video is made."""

    prompt: Text = Field(
        "camera slowly circles around the product", max_length=4000, description="The motion of the camera."
    )
    seed: Seed = None
    width: Side = Field(832, description="Width in pixels, a multiple of 16.")
    height: Side = Field(480, description="Height in pixels, a multiple of 16.")
    length: Length = Field(33, description="Number of frames, 4n+1, at 16 frames a second.")
    steps: int = Field(20, ge=1, le=100, description="Sampling steps.")


class VideoParams(Filming, Params):
    """What video is told."""

    image_url: Image = Field(
        max_length=2048,
        description="The picture to set in motion (r2:// or https://).",
        examples=["https://shop.example/handbag.jpg"],
    )

    @model_validator(mode="after")
    def check_area(self) -> Self:
        """Refuse larger frames than the model can do."""
        if self.width * self.height > LARGEST_FRAME:
            raise PydanticCustomError("area", "width × height must not exceed 1280×720 pixels", {"blamed": ["width"]})
        return self


class VideoResult(Result):
    """What video answers."""

    success: bool = True
    video_url: str
    r2_path: Video
    video_params: Filming
    duration_seconds: float


VIDEO = Tool(
    "video", "Turn a picture into a video.", VideoParams, VideoResult,
    files="videos", suffix=".mp4", limits=Limits(timeout_s=1200),
)  # fmt: skip
