"""What can go wrong, in one tree: the class says the code, the docstring is the sentence."""

from collections.abc import Iterator
from typing import Any, ClassVar, Self


class ToolError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, details: dict[str, Any] | None = None) -> None:
        """Take the sentence (the docstring when left out) and what a program needs beside it."""
        self.detail = detail or type(self).__doc__ or self.code
        self.details = details or {}
        super().__init__(self.detail, self.details)  # both in args, so that Celery can carry it as JSON

    def __str__(self) -> str:
        return self.detail

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.detail!r})"  # without the details: people read it in Flower

    def problem(self) -> dict[str, Any]:
        """Show it as JSON: `code`, `detail`, `retryable`, and the details (such as `errors`, `suggestions`)."""
        return {"code": self.code, "detail": self.detail, "retryable": self.retryable, **self.details}

    @classmethod
    def at(cls, pointer: str, detail: str, **more: Any) -> Self:
        """Blame one field, by JSON pointer without its first slash; an empty one is the whole body."""
        error = {"pointer": f"/{pointer}" if pointer else "", "code": cls.code, "detail": detail, **more}
        return cls(f"{pointer or 'The body'}: {detail}", {"errors": [error]})


# The caller can mend these.
class InvalidInput(ToolError):
    """The input is not valid."""

    code = "invalid_input"


class UnknownField(InvalidInput):
    """There is no such field."""

    code = "unknown_field"


class MissingInput(InvalidInput):
    """Something that the tool needs was neither given nor handed on."""

    code = "missing_input"


class AmbiguousInput(InvalidInput):
    """More than one result could fill the field."""

    code = "ambiguous_input"


class CanvasReused(InvalidInput):
    """This canvas was sent before, and Celery would use an id twice: keep it, and send canvas.clone() each time."""

    code = "canvas_reused"


class UnsupportedMedia(InvalidInput):
    """The file is of a kind that we do not take."""

    code = "unsupported_media"


class NotAnImage(UnsupportedMedia):
    """The file is not a picture that we can read: send a PNG, a JPEG or a WebP."""

    code = "not_an_image"


class BadArchive(UnsupportedMedia):
    """The archive cannot be used: send a plain zip of pictures."""

    code = "bad_archive"


class TooLarge(InvalidInput):
    """That is larger than we take."""

    code = "too_large"


class UrlBlocked(InvalidInput):
    """We do not fetch from this address."""

    code = "url_blocked"


class InputUnreachable(InvalidInput):
    """The address gave us no file."""

    code = "input_unreachable"
    retryable = True


class PathNotAllowed(InvalidInput):
    """This r2:// address is not one that a caller may name."""

    code = "path_not_allowed"


class NotFound(ToolError):
    """There is no such thing."""

    code = "not_found"


class JobNotFound(NotFound):
    """There is no job with this id: GET /api/jobs lists them."""

    code = "job_not_found"


class ModelNotFound(NotFound):
    """There is no model with this id: GET /api/models lists them."""

    code = "model_not_found"


class TemplateNotFound(NotFound):
    """There is no template with this id: GET /api/templates lists them."""

    code = "template_not_found"


class FileNotFound(NotFound):
    """There is no file at this address."""

    code = "file_not_found"


class ModelNotReady(ToolError):
    """The model is still in training: GET /api/models/<id> tells when it is ready."""

    code = "model_not_ready"
    retryable = True


class ModelFailed(ToolError):
    """The training of this model did not complete, so there is nothing to generate with: train it again."""

    code = "model_failed"


class IdempotencyMismatch(InvalidInput):
    """This Idempotency-Key was used with another request: use a new key for a new request."""

    code = "idempotency_mismatch"


class IdempotencyInProgress(ToolError):
    """The first request with this Idempotency-Key is still being taken in: try again in a second."""

    code = "idempotency_in_progress"
    retryable = True


# A job can end with these.
class ObjectNotFound(ToolError):
    """The object was not found in the picture."""

    code = "object_not_found"


class MaskUnusable(InvalidInput):
    """The mask cannot be used."""

    code = "mask_unusable"


class Cancelled(ToolError):
    """The job was cancelled."""

    code = "cancelled"


class UpstreamFailed(Cancelled):
    """The job before this one did not complete, so this one could not run."""

    code = "upstream_failed"


class Expired(ToolError):
    """The job was not started in the time that it was given."""

    code = "expired"
    retryable = True


class Poisoned(ToolError):
    """Three attempts at this job died with their worker, so no fourth is made."""

    code = "poisoned"


class NoOutput(ToolError):
    """The handler said it was done, but left no file that can be read."""

    code = "no_output"
    retryable = True


class HandlerFailed(ToolError):
    """The handler failed, for a reason of its own."""

    code = "handler_failed"
    retryable = True


class OutOfMemory(HandlerFailed):
    """The memory of the GPU was not enough: ask for a smaller picture or a shorter film."""

    code = "out_of_memory"
    retryable = False


class ExecutionTimeout(HandlerFailed):
    """The tool did not end within its time: ask for less at once, such as fewer steps, or try again."""

    code = "execution_timeout"


class ModelMissing(HandlerFailed):
    """A model file or a node that the tool needs is not installed: `packshot models` lists them."""

    code = "model_missing"
    retryable = False


class NodeExecutionError(HandlerFailed):
    """A node of the graph failed in ComfyUI."""

    code = "node_execution_error"


class ComfyuiCrashed(HandlerFailed):
    """ComfyUI died, or lost the job: try again."""

    code = "comfyui_crashed"


# The house itself is unwell.
class Unavailable(ToolError):
    """Something that we need is down: try again soon."""

    code = "unavailable"
    retryable = True


class ClockWrong(ToolError):
    """The clock of this machine is not the database's: set it by NTP."""

    code = "clock_wrong"


class DiskFull(Unavailable):
    """A disk of ours is full: make room, then try again."""

    code = "disk_full"


class StorageFailed(Unavailable):
    """The bucket did not answer, or was too busy: try again soon."""

    code = "storage_failed"


class StorageRefused(StorageFailed):
    """The bucket does not let us in: check its name, its keys and their rights."""

    code = "storage_refused"
    retryable = False


def every(cls: type[ToolError] = ToolError) -> Iterator[type[ToolError]]:
    """Walk the tree of errors, the root first."""
    yield cls
    for child in cls.__subclasses__():
        yield from every(child)


def recall(problem: dict[str, Any]) -> ToolError:
    """Make the error again from what `problem()` showed."""
    details = {key: value for key, value in problem.items() if key not in {"code", "detail", "retryable"}}
    found = next((cls for cls in every() if cls.code == problem["code"]), ToolError)
    return found(problem["detail"], details)
