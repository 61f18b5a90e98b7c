"""What a tool is: a name, its params, its result, its limits."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from tools.deadlines import Deadlines, bound
from tools.kinds import Kind
from tools.refusal import check_sound, refuse, refuse_given
from tools.texts import Text

#: The largest integer that every JSON reader keeps exact.
LARGEST_SEED = 2**53 - 1

Seed = Annotated[int | None, Field(ge=0, le=LARGEST_SEED, description="For the same result again; random if absent.")]
Prompt4k = Annotated[Text, Field(max_length=4000)]


class Settings(BaseModel):
    """The part of a tool's params that its result shows again."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, from_attributes=True, validate_by_name=True
    )


class Params(Settings):
    """All that a tool is told."""

    #: What may stand beside the params of any tool.
    BESIDE: ClassVar[tuple[str, ...]] = tuple(Deadlines.model_fields)

    def settle(self) -> Self:
        """Choose what was left to chance, once: an attempt made again then does the same."""
        if "seed" in type(self).model_fields and getattr(self, "seed", None) is None:
            return self.model_copy(update={"seed": secrets.randbelow(LARGEST_SEED + 1)})
        return self


class Result(BaseModel):
    """What poll, `.get()` and the next step see. Its fields stand in the order of the answer."""

    model_config = ConfigDict(from_attributes=True)


@dataclass(frozen=True)
class Limits:
    """How long and how many."""

    #: Seconds that a job may wait for its start.
    start_within_s: int = 24 * 3600
    #: Seconds that one attempt may run.
    timeout_s: int = 600
    #: Jobs of this tool that may be with a remote at once.
    max_in_flight: int = 400


@dataclass(frozen=True)
class Tool:
    """What can be asked for: one frozen value of params, result and limits."""

    name: str
    summary: str
    params: type[Params]
    result: type[Result]
    #: The route that serves its files, as in /api/images/<filename>; empty if it leaves none for people.
    files: str = ""
    #: Where in the bucket its file goes, and the file's extension.
    prefix: str = "generated/"
    suffix: str = ".png"
    #: Does the tool at once from (params, what its ids stand for), where no GPU is needed; returns result fields.
    local: Callable[[Any, Mapping[str, Mapping[str, Any]]], dict[str, Any]] | None = None
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def takes(self) -> dict[str, Kind]:
        """The params that carry something, by name."""
        return kinds(self.params)

    @cached_property
    def gives(self) -> dict[str, Kind]:
        """The fields of the result that carry something, by name."""
        return kinds(self.result)

    @cached_property
    def deadlines(self) -> type[Deadlines]:
        """The contract of what a caller may say of time."""
        return bound(self.limits.start_within_s, self.limits.timeout_s)

    @property
    def trains(self) -> bool:
        """Whether it makes a model."""
        return any(kind.name == "lora" for kind in self.gives.values())

    def part(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Deadlines]:
        """Part what is given into what the tool is told, and what is said of time. Raises InvalidInput."""
        times = {name: given[name] for name in Deadlines.model_fields if name in given}
        try:
            deadlines = self.deadlines.model_validate(times)
        except ValidationError as error:
            raise refuse(self.deadlines, error) from None
        return {name: value for name, value in given.items() if name not in times}, deadlines

    def check(self, given: Mapping[str, Any]) -> Params:
        """Turn plain JSON into params; the one door for them. Raises InvalidInput, which names every bad field."""
        check_sound(given)
        try:
            return self.params.model_validate(dict(given))
        except ValidationError as error:
            raise refuse(self.params, error) from None

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Check what is given now, when what carries something may be handed on later. Raises InvalidInput."""
        check_sound(given)
        try:
            self.params.model_validate(dict(given))
        except ValidationError as error:
            fillable = [name for name, kind in self.takes.items() if not kind.explicit]
            if refusal := refuse_given(self.params, error, fillable):
                raise refusal from None

    def answer(self, params: Params, **known: Any) -> dict[str, Any]:
        """Put the result in the seed's words: from the params, and from what is `known` since."""
        values: dict[str, Any] = {**dict(params), **known}
        shown = {name: params for name, info in self.result.model_fields.items() if is_settings(info.annotation)}
        return self.result.model_validate({**values, **shown}).model_dump(mode="json", by_alias=True)


def is_settings(annotation: Any) -> bool:
    """Tell whether a field shows settings."""
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def kinds(model: type[BaseModel]) -> dict[str, Kind]:
    """Find the fields of a model that have a kind."""
    found = {name: kind_of(info) for name, info in model.model_fields.items()}
    return {name: kind for name, kind in found.items() if kind}


def kind_of(info: FieldInfo) -> Kind | None:
    """Find the mark of a field, also inside `X | None`, where Pydantic does not look."""
    inner = [mark for arm in get_args(info.annotation) for mark in getattr(arm, "__metadata__", ())]
    return next((mark for mark in [*info.metadata, *inner] if isinstance(mark, Kind)), None)
