"""Nap on our own queue."""

from tests.chaos.chores import run

__all__ = ["run"]
