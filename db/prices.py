"""What a GPU costs, by the price table in the settings."""

from settings import settings

HOUR_MS = 3_600_000


def per_hour(tool: str) -> float | None:
    """Say what an hour of the GPU that does a tool costs, in US dollars; None if nobody has told."""
    return settings().prices.get(settings().gpus.get(tool, ""))


def tell(tool: str, execution_ms: int | None) -> tuple[str | None, float | None]:
    """Tell the kind of GPU that does a tool, and what so many milliseconds of it cost, in US dollars.

    Nothing costs nothing, whatever the price; what ran at a price that nobody has told costs nobody knows what.
    """
    gpu, price = settings().gpus.get(tool), per_hour(tool)
    if not execution_ms:
        return gpu, None if execution_ms is None else 0.0
    return gpu, None if price is None else execution_ms / HOUR_MS * price
