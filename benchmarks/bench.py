"""Measure the house, and write `var/bench/latest.json`. Reports; a figure that falls short is no failure."""

from benchmarks import chains, far, flows, footprint, report, speed, stack


def main() -> None:
    """Measure all, one after the other: each has the machine to itself."""
    figures = footprint.measure()
    with stack.servers() as logs:
        figures += chains.prove(logs)
        figures += speed.measure(logs)
        figures += flows.measure(logs)
        figures += far.measure(logs)
    path = report.write("bench", figures)
    print(report.table(figures))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
