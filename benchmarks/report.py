"""What a measuring target found: figures with what they should reach, as a file and as a table."""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Figure:
    """One measured number. `reach` is like `>= 0.5`; empty = only shown."""

    name: str
    value: float
    unit: str = ""
    reach: str = ""

    @property
    def ok(self) -> bool:
        """Whether it reaches what it should."""
        if not self.reach:
            return True
        sign, bound = self.reach.split()
        return bool(COMPARE[sign](self.value, float(bound)))


def write(target: str, figures: Sequence[Figure]) -> Path:
    """Write `var/<target>/latest.json`: a list of `{name, value, unit, reach, ok}`."""
    path = Path("var", target, "latest.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"name": one.name, "value": round(one.value, 4), "unit": one.unit, "reach": one.reach, "ok": one.ok}
        for one in figures
    ]
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def table(figures: Sequence[Figure]) -> str:
    """Lay the figures out for people."""
    width = max(len(one.name) for one in figures)
    return "\n".join(row(one, width) for one in figures)


def row(one: Figure, width: int) -> str:
    """Lay out one figure."""
    verdict = ("ok" if one.ok else "SHORT") if one.reach else ""
    value = f"{one.value:,.0f}" if abs(one.value) >= 1000 else f"{one.value:.4g}"  # never 1e+04
    return f"{one.name:<{width}}  {value:>10} {one.unit:<8}  {one.reach:>8}  {verdict}".rstrip()
