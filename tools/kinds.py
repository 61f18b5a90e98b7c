"""What a field carries from tool to tool. A result fills a param of its kind."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from tools.texts import Text


@dataclass(frozen=True)
class Kind:
    """A mark inside `Annotated`: says of a field what its type cannot."""

    name: str
    #: Words and ids come down the whole chain; files only from the step directly before.
    inherited: bool = False
    #: Never filled by itself, only by the caller.
    explicit: bool = False
    #: How a file of this kind comes in through the door: "image", "archive", or not at all.
    door: str | None = None

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "x-kind": self.name}


Image = Annotated[str, Kind("image", door="image")]
MaskedScene = Annotated[str, Kind("masked_scene", door="image")]
Video = Annotated[str, Kind("video")]
DATASET = Kind("dataset", explicit=True, door="archive")
Lora = Annotated[int, Kind("lora", inherited=True)]
Prompt = Annotated[Text, Kind("prompt", inherited=True)]
TriggerWord = Annotated[str, Kind("trigger_word", inherited=True)]

#: An image that only the caller can choose, such as the reference of `inpaint`.
ChosenImage = Annotated[str, Kind("image", explicit=True, door="image")]

#: What to find in a picture; the name or the trigger word of a trained model means that product.
ObjectName = Annotated[Text, Kind("object", explicit=True)]

#: A template can only be chosen by its id.
TemplateId = Annotated[str, Kind("template", explicit=True)]
