"""`packshot keys`: who may ask, and how much."""
# ruff: noqa: PLC0415 - as in cli.py, each part imports what it needs when it is called

import click

from tools.allowance import SCOPES, Allowance


@click.group()
def keys() -> None:
    """Make, list and revoke API keys, which AUTH=keys asks for."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=("read", "submit"), show_default=True,
    help="What it is good for: read looks, submit has things done, admin does all. Give it several times.",
)  # fmt: skip
@click.option("--days", type=click.IntRange(1, 36500), help="Days for which it is good; without it, until revoked.")
@click.option("--jobs-in-flight", type=click.IntRange(1, 10**9), help="Jobs that it may have under way at once.")
@click.option("--gpu-seconds-per-day", type=click.FloatRange(0), help="GPU seconds that it may use a day, in UTC.")
@click.option(
    "--money-per-month", type=click.FloatRange(0), help="What it may spend a month, by the dearest of GPU_PRICES."
)
def create(
    *, name: str, scopes: tuple[str, ...], days: int | None, jobs_in_flight: int | None,
    gpu_seconds_per_day: float | None, money_per_month: float | None,
) -> None:  # fmt: skip
    """Make a key called NAME, and print it this once.

    Only its hash is kept. Without bounds it may do as much as it likes.
    """
    from db import api_keys
    from settings import settings

    if money_per_month is not None and not settings().second_price:
        raise click.UsageError("--money-per-month needs GPU_PRICES: say what an hour of your GPUs costs.")
    allowance = Allowance(jobs_in_flight, gpu_seconds_per_day, money_per_month)
    key = api_keys.create(name, scopes, allowance=allowance, days=days)
    click.echo("Keep it now: it is shown this once. Send it as Authorization: Bearer <key>.", err=True)
    click.echo(key)


@keys.command("list")
def list_keys() -> None:
    """Show all keys, and what each has used.

    Of a key only the prefix is shown, with its name, its scopes and its bounds.
    """
    from db import api_keys
    from settings import settings

    for key, usage in api_keys.show_all():
        used = [
            tell(usage.in_flight, key.jobs_in_flight, "jobs under way"),
            tell(usage.day_s, key.gpu_seconds_per_day, "GPU seconds today"),
        ]
        if key.money_per_month is not None:
            used.append(tell(usage.month_s * settings().second_price, key.money_per_month, "US dollars this month"))
        end = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until revoked"
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC" if key.revoked_at else end
        click.echo(f"{key.prefix}  {key.name}  {','.join(key.scopes)}  {state}  {'; '.join(used)}")


def tell(used: float, most: float | None, what: str) -> str:
    """Tell how much was used, and of how much if there is a bound."""
    return f"{round(used, 2):g}{'' if most is None else f' of {most:g}'} {what}"


@keys.command()
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Make the key with this PREFIX worthless.

    It is refused within five seconds. `packshot keys list` shows the prefixes.
    """
    from db import api_keys

    api_keys.revoke(prefix)
    click.echo(f"Revoked {prefix}.")
