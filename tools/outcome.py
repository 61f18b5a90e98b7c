"""What an attempt came to."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class StoredFile(BaseModel):
    """A file in the bucket. `size` in bytes."""

    r2_path: str
    size: int
    sha256: str


class Note(BaseModel):
    """Something that the caller should know about an otherwise good result."""

    code: str
    message: str
    pointer: str | None = None


class Outcome(BaseModel):
    """The stored file and the params really used, or an error."""

    model_config = ConfigDict(frozen=True)

    #: Which engine did it: gpu or preview.
    engine: str
    #: Seconds that the handler took.
    seconds: float
    params: dict[str, Any] = {}
    file: StoredFile | None = None
    #: Further files beside it, by what they are, such as the cut-outs of a product.
    extras: dict[str, StoredFile] = {}
    #: What the tool found beside its file, such as the coverage of a mask.
    facts: dict[str, Any] = {}
    warnings: list[Note] = []
    #: As ToolError.problem() shows it; then there is no file.
    error: dict[str, Any] | None = None
