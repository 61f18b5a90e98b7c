"""Which faults are tried: all of them, and the chosen ones of each test run."""

from collections.abc import Iterator

from tests.failpoints.points import POINTS, Point
from tests.failpoints.trial import ON_CANCELLING, Trial

#: The tools that RunPod does in the first house and in the second; all others are done by our own queue.
FAR, OTHER_FAR = ("generate", "mask", "video"), ("train", "inpaint", "nap")

TOOLS = ("train", "generate", "mask", "inpaint", "video")

#: The faults of every deed, and the one more that is tried with one deed of each point.
FAULTS, ONE_MORE = ("kill", "stop", "error"), "away"

#: Points that only a chord comes to whose size was forgotten.
IN_A_FLUSH = {"watch.reopened", "watch.restored", "watch.resent"}


def everything() -> dict[tuple[str, ...], list[Trial]]:
    """List all trials by the house in which they are made."""
    houses: dict[tuple[str, ...], list[Trial]] = {FAR: [], OTHER_FAR: []}
    for point in POINTS.values():
        for n, deed in enumerate(deeds_at(point)):
            faults = (*FAULTS, ONE_MORE) if n == 0 else FAULTS
            houses[house_of(point, deed)] += [Trial(point.title, fault, deed) for fault in faults]
    return houses


def deeds_at(point: Point) -> Iterator[str]:
    """List what can be asked for so that the point is come to."""
    if point.title in IN_A_FLUSH:
        yield "slow chord"
        return
    yield from TOOLS
    if point.title in ON_CANCELLING or (point.role == "api" and point.remote == "both"):
        return  # HTTP takes single jobs
    if point.title in {"gpu.claims", "gpu.done", "watch.submits"}:  # who stood still comes back while another is at it
        yield "long nap"
    if point.remote == "both" and point.role != "watch":
        yield "resolve_template"
    yield from ("chain", "chord")


def house_of(point: Point, deed: str) -> tuple[str, ...]:
    """Say in which house a deed is done at the remote that a point is about."""
    if point.remote == "far":
        return FAR if deed in {*FAR, "chain"} else OTHER_FAR
    if point.remote == "near":
        return OTHER_FAR if deed in FAR else FAR
    return FAR


#: Each point, each fault, each deed; few of those kills after which a program must be started from nothing.
CHOSEN = [
    Trial(*words.split(" ", 2))
    for words in (
        "api.accepted error nap", "api.rung stop nap", "api.cancelled kill mask", "api.hears error mask",
        "api.heard kill mask",
        "client.remembered kill chord",
        "main.intended kill chain", "main.intended away nap", "main.queued stop nap",
        "main.answers stop chain", "main.settles kill chord",
        "main.settles error chord", "main.settled stop resolve_template",
        "gpu.claims stop long nap", "gpu.claimed stop nap", "gpu.stores kill train",
        "gpu.stores error chord", "gpu.done stop long nap", "gpu.finished kill inpaint", "gpu.concluded kill chord",
        "gpu.sent error nap",
        "watch.took stop inpaint", "watch.took_far stop mask", "watch.submits stop mask", "watch.submitted kill mask",
        "watch.noted error mask", "watch.looked stop mask", "watch.concluded kill generate", "watch.replaced error nap",
        "watch.reopened kill slow chord", "watch.restored stop slow chord", "watch.resent error slow chord",
        "watch.stops stop mask", "watch.stopped error mask",
        "far.claims stop mask", "far.claimed kill video", "far.stores error mask", "far.keeps stop mask",
        "far.kept kill mask", "far.answers error mask",
    )
]  # fmt: skip
