"""Nap at RunPod."""

from tests.chaos.chores import run

__all__ = ["run"]
