"""A dataset: the photos that a model is trained on, and those that were left out, each with the reason."""

from statistics import median
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator

from tools.errors import InvalidInput
from tools.kinds import DATASET

#: Of fewer photos a model learns those photos, and not the product in them.
LEAST, MOST = 4, 200

#: The sides of a photo, in pixels. A smaller one would have to be enlarged at every resolution there is; of a larger
#: one no resolution shows more.
SMALLEST_PX, LARGEST_PX = 256, 2048


Address = Annotated[str, Field(max_length=2048)]
Addresses = Annotated[list[Address], Field(min_length=LEAST, max_length=MOST)]
ONE: TypeAdapter[str] = TypeAdapter(Address)
SEVERAL: TypeAdapter[list[str]] = TypeAdapter(Addresses)


def judge(value: Any, _: ValidatorFunctionWrapHandler) -> str | list[str]:
    """Judge a list as a list, and all else as a text: of a union Pydantic says for each arm why it is not that."""
    return (
        SEVERAL.validate_python(value, strict=True)
        if isinstance(value, list)
        else ONE.validate_python(value, strict=True)
    )


#: The photos of a training as a caller names them: one zip, or each by itself.
Dataset = Annotated[Address | Addresses, WrapValidator(judge), DATASET]


class TooFewPhotos(InvalidInput):
    """Too few of the photos can be used: send at least four that differ, sharp, and 256 pixels or more a side."""

    code = "too_few_photos"


class Entry(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(frozen=True)


class Photo(Entry):
    """A photo as it lies in the dataset: its file there, where it came from, its sides in pixels, its words."""

    name: str
    source: str
    width: int
    height: int
    #: Of the file.
    sha256: str
    #: With the trigger word in it, and as it came; None = it came without.
    caption: str
    given: str | None = None
    #: The file that has its transparency too, if it came with some.
    cutout: str | None = None


class LeftOut(Entry):
    """A photo that is not in the dataset, and why, in words."""

    source: str
    reason: str


class Manifest(Entry):
    """What a dataset says of itself."""

    images: tuple[Photo, ...]
    left_out: tuple[LeftOut, ...]
    #: The word that is in every caption; None = it was not known yet.
    trigger_word: str | None

    @property
    def side_px(self) -> int:
        """The longer side of its photos: the median, in pixels."""
        return int(median(max(photo.width, photo.height) for photo in self.images))
