"""How long a job may wait and run, where its caller says so: beside the params of any tool."""

from pydantic import BaseModel, ConfigDict, Field, create_model

#: The shortest of both, in seconds: RunPod knows no shorter time limit.
SHORTEST_S = 5


class Deadlines(BaseModel):
    """What the caller says of time; None is the tool's own limit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    start_within_seconds: int | None = None
    timeout_seconds: int | None = None


def bound(start_within_s: int, timeout_s: int) -> type[Deadlines]:
    """Make the contract of a tool's deadlines: nobody can ask for more than the tool allows."""
    waits = f"Seconds that it may wait for its start, else it ends as expired; {start_within_s} if absent."
    runs = f"Seconds that it may run, else it ends as failed (execution_timeout); {timeout_s} if absent."
    return create_model(
        "Deadlines", __base__=Deadlines,
        start_within_seconds=(int | None, Field(None, ge=SHORTEST_S, le=start_within_s, description=waits)),
        timeout_seconds=(int | None, Field(None, ge=SHORTEST_S, le=timeout_s, description=runs)),
    )  # fmt: skip
