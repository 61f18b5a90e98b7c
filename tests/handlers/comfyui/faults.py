"""What can go wrong in the stand-in, as a real server said it."""

from dataclasses import dataclass, field

OOM = {
    "exception_type": "torch.OutOfMemoryError",
    "exception_message": "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "This error means you ran out of memory on your GPU.\n",
}


NOT_FOUND = {
    "exception_type": "ValueError",
    "exception_message": "OBJECT_NOT_FOUND: the detector returned no box\n",
}


@dataclass
class Faults:
    """What shall go wrong."""

    #: What a class of nodes fails with: exception_type and exception_message.
    failing: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Seconds for each step of a sampler.
    step_s: float = 0.0
    #: Nobody may connect to the websocket; it says nothing; it breaks off after so many messages.
    deaf: bool = False
    mute: bool = False
    breaks_after: int = 10**9
    #: It hangs up on whoever takes something out of the queue.
    hangs_up: bool = False
    #: It gives ids of its own, as older ones did.
    old: bool = False
    #: Outputs are named, and not there.
    forgetful: bool = False
    #: Seconds between the message of the end and the entry in the history.
    late_s: float = 0.0
