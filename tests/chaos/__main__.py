"""Break the house while it works, and judge what came of it: `make chaos JOBS=1000 KILLS=100 SEED=1`."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr
from pathlib import Path
from threading import Thread
from typing import Any

from embedded import house as houses
from embedded.ports import Wishes
from tests.canaries import furnish
from tests.chaos import case, evidence, figures, invariants, order, plan, town
from tests.chaos.customers import Customers
from tests.chaos.evidence import Evidence
from tests.chaos.nemesis import Nemesis
from tests.receiver import Receiver, listening
from tools.webhooks import JOB_ENDS, NewWebhook

USUAL = {"JOBS": 1000, "KILLS": 100, "SEED": 1}
JOBS, KILLS, SEED = (int(os.environ.get(name) or usual) for name, usual in USUAL.items())

#: Seconds for each kill, in which orders come too; and the part of that time in which they come.
KILL_EVERY_S, ORDERS_PART = 3.6, 0.9

#: Seconds in which all must have come to rest, once nothing is broken any more.
REST_S = 240


def main() -> int:
    """Run it; 1 if anything did not hold."""
    began = time.monotonic()
    kept = Path("var", "chaos", str(SEED)).absolute()
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    within_s = KILLS * KILL_EVERY_S
    orders = order.draw(SEED, JOBS, within_s * ORDERS_PART)
    with (kept / "customers.log").open("w") as log, redirect_stderr(log):
        rested = run(kept, orders, plan.draw(SEED, KILLS, within_s))
    summary = judge(kept, orders, time.monotonic() - began)
    print(figures.line(summary))
    if not rested:
        print(f"It had not come to rest after {REST_S} s.")
    for violation, count in Counter((one["invariant"], one["what"]) for one in summary["violations"]).items():
        print(*violation, count)
    return 0 if figures.passed(summary) else 1


def run(kept: Path, orders: list[order.Order], blows: list[plan.Blow]) -> bool:
    """Run the house, its customers and the nemesis, until all is quiet, and leave the evidence; False: it never was."""
    data = Path(tempfile.mkdtemp(prefix="packshot-chaos-"))
    data.chmod(0o711)  # root's PostgreSQL runs as nobody
    furnish(data)
    with houses.lived_in(data, Wishes()) as house, town.lived_in(house, kept) as place, listening() as ear:
        hear(ear)
        customers, nemesis = Customers(place.api, kept, SEED), Nemesis(place, kept, SEED)
        try:
            rested = break_it(place, customers, nemesis, orders, blows)
        finally:
            customers.over.set()  # else they would go on asking when somebody interrupts
        for job_id in list(customers.open):
            customers.look(job_id)
        evidence.gather(place, kept, ear.heard())
    shutil.rmtree(data)
    return rested


def hear(ear: Receiver) -> None:
    """Have every end of a job told to a receiver that is always well: what it misses was lost here."""
    from db import receivers  # noqa: PLC0415 - settings are read only now that the environment names the servers

    receivers.add(NewWebhook(url=ear.url(), events=list(JOB_ENDS)), f"http://{ear.host}")


def break_it(
    place: town.Town, customers: Customers, nemesis: Nemesis, orders: list[order.Order], blows: list[plan.Blow]
) -> bool:
    """Let all of them loose at once, until all is quiet again."""
    began = time.monotonic()
    watching = Thread(target=customers.observe, daemon=True)
    asking = Thread(target=customers.serve, args=(orders, began), daemon=True)
    watching.start()
    asking.start()
    nemesis.carry_out(blows, began)
    asking.join()
    place.wait(*place.parts)
    rested = evidence.settle(place, REST_S)
    customers.over.set()
    watching.join()
    return rested


def judge(kept: Path, orders: list[order.Order], wall_s: float) -> dict[str, Any]:
    """Judge the evidence, and write down what it comes to."""
    put = case.Case(Evidence.load(kept), orders)
    summary = figures.summarise(put, invariants.judge(put), SEED, wall_s)
    (kept.parent / f"{SEED}.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code)  # at an exit in order, each result that Celery knows of would look for a broker that is gone
