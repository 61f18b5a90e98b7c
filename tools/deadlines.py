"""How long a job may wait and run, and what it may cost, where its caller says so: beside the params of any tool."""

from pydantic import BaseModel, ConfigDict, Field, create_model

#: The shortest of both, in seconds: RunPod knows no shorter time limit.
SHORTEST_S = 5

#: The most GPU seconds that anybody can allow: a year.
LARGEST_GPU_S = 365 * 24 * 3600


class Deadlines(BaseModel):
    """What the caller says of time and cost; None is the tool's own limit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    start_within_seconds: int | None = None
    timeout_seconds: int | None = None
    max_gpu_seconds: int | None = None


def bound(start_within_s: int, timeout_s: int) -> type[Deadlines]:
    """Make the contract of a tool's deadlines: nobody can ask for more than the tool allows."""
    waits = f"Seconds that it may wait for its start, else it ends as expired; {start_within_s} if absent."
    runs = f"Seconds that it may run, else it ends as failed (execution_timeout); {timeout_s} if absent."
    costs = "GPU seconds that all its attempts together may take, else it ends as failed; unbounded if absent."
    return create_model(
        "Deadlines", __base__=Deadlines,
        start_within_seconds=(int | None, Field(None, ge=SHORTEST_S, le=start_within_s, description=waits)),
        timeout_seconds=(int | None, Field(None, ge=SHORTEST_S, le=timeout_s, description=runs)),
        max_gpu_seconds=(int | None, Field(None, ge=SHORTEST_S, le=LARGEST_GPU_S, description=costs)),
    )  # fmt: skip
