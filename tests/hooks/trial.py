"""Many jobs end while their sender is killed between send and mark, again and again; then it is counted who heard."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from benchmarks.report import Figure
from db import intake, life, receivers
from db.base import transaction
from db.deliveries import LEASE_S
from db.receivers import DEFAULT, Delivery, Wish
from tests.conftest import Process
from tests.db import rows
from tests.receiver import Heard, Receiver
from tools.webhooks import JOB_ENDS, NewWebhook

#: How jobs end here, in turns.
STATUSES = ("completed", "failed", "cancelled", "expired")

#: Every so many jobs, the request has a webhook of its own, too.
OWN = 4


@dataclass
class Trial:
    """What ended when, and who had to hear of it."""

    ear: Receiver
    secrets: dict[str, str] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)

    def register(self) -> None:
        """Have all hear at one path, and what requests name at another."""
        made = receivers.add(NewWebhook(url=self.ear.url("/ok"), events=list(JOB_ENDS)), f"http://{self.ear.host}")
        self.secrets = {"/ok": made["secret"], "/taken": receivers.rotate(DEFAULT, 0)["secret"]}

    def end(self, n: int) -> None:
        """Take a job in, and end it."""
        asked = rows.asked()
        own = Wish(self.ear.url("/taken"), f"http://{self.ear.host}", list(JOB_ENDS)) if n % OWN == 0 else None
        intake.accept(intake.Asked(asked.id, asked.tool, asked.given, asked.params, 1, wish=own))
        rows.end(asked.id, STATUSES[n % len(STATUSES)])
        life.settle(asked.id, well=STATUSES[n % len(STATUSES)] == "completed")
        self.ended[str(asked.id)] = time.time()
        self.own |= {str(asked.id)} if own else set()

    def wanted(self) -> set[tuple[str, str]]:
        """List what had to be heard, as (path, job)."""
        return {("/ok", job_id) for job_id in self.ended} | {("/taken", job_id) for job_id in self.own}

    def heard(self) -> dict[tuple[str, str], list[Heard]]:
        """List what was heard, the first first."""
        found: dict[tuple[str, str], list[Heard]] = defaultdict(list)
        for one in self.ear.heard():
            found[one.path, one.told["data"]["job_id"]].append(one)
        return found

    def unmarked(self) -> int:
        """Count the deliveries that nobody has marked as delivered."""
        with transaction() as session:
            ours = select(func.count()).where(Delivery.url.startswith(f"http://{self.ear.host}"))
            return session.scalar(ours.where(Delivery.status != "delivered")) or 0

    def false(self) -> int:
        """Count the requests whose signature does not hold."""
        return sum(not holds(one, self.secrets[one.path]) for one in self.ear.heard())


def holds(heard: Heard, secret: str) -> bool:
    """Tell whether a signature holds, whenever it was made."""
    signed = Webhook(secret)
    try:
        signed.verify(heard.body, heard.headers)
    except WebhookVerificationError:
        return False
    return True


def hurry() -> None:
    """Let the time of all leases pass: what its sender took along into death is due now."""
    ago = func.make_interval(0, 0, 0, 0, 0, 0, LEASE_S)
    with transaction() as session:
        taken = update(Delivery).where(Delivery.due_at.is_not(None), Delivery.tries > 0)
        session.execute(taken.values(due_at=Delivery.due_at - ago))


def run(ear: Receiver, sender: Callable[[], Process], jobs: int, patience_s: float, *, wait: bool) -> list[Figure]:
    """End so many jobs under a sender that is killed; give what came of it.

    Args:
        ear: Who listens.
        sender: Starts the sender.
        jobs: How many jobs end.
        patience_s: For how long it may take, all in all.
        wait: Whether leases are waited for; else their time passes at once.
    """
    trial, until = Trial(ear), time.monotonic() + patience_s
    trial.register()
    process = sender()
    for n in range(jobs):
        trial.end(n)
    while trial.unmarked() and time.monotonic() < until:
        time.sleep(0.3)
        if not wait:
            hurry()
    return judge(trial, process)


def judge(trial: Trial, process: Process) -> list[Figure]:
    """Count."""
    heard, wanted = trial.heard(), trial.wanted()
    took = [min(one.at for one in heard[path, job_id]) - trial.ended[job_id]
            for path, job_id in wanted if heard.get((path, job_id))]  # fmt: skip
    cuts = quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
    twice = sum(len(all_of) > 1 for all_of in heard.values())
    return [
        Figure("endings that had to be heard of", len(wanted)),
        Figure("kills between send and mark", process.said().count("killed")),
        Figure("never heard of", len(wanted - heard.keys()), reach="<= 0"),
        Figure("heard of under two ids", sum(len({one.id for one in all_of}) > 1 for all_of in heard.values()),
               reach="<= 0"),
        Figure("heard of that nobody asked for", len(heard.keys() - wanted), reach="<= 0"),
        Figure("signatures that do not hold", trial.false(), reach="<= 0"),
        Figure("not marked as delivered", trial.unmarked(), reach="<= 0"),
        Figure("heard of more than once", twice),
        Figure("from the end to the first hearing, p50", cuts[49], "s"),
        Figure("from the end to the first hearing, p99", cuts[98], "s"),
    ]  # fmt: skip
