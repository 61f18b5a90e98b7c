"""The compose file as an engine reads it: with variables filled in, for the profiles that are asked for."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"

VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}|\$\$")


def load(given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the file, its variables filled from what is given."""

    def fill(found: re.Match[str]) -> str:
        return (given or {}).get(found[1]) or found[2] if found[1] else "$"

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return VARIABLE.sub(fill, value) if isinstance(value, str) else value

    filled: dict[str, Any] = walk(yaml.safe_load(FILE.read_text()))
    return filled


def services(*profiles: str, **given: str) -> dict[str, dict[str, Any]]:
    """Give the services that run with these profiles."""
    all_of_them: dict[str, dict[str, Any]] = load(given)["services"]
    asked = {*profiles, *given.get("COMPOSE_PROFILES", "").split(",")}
    return {
        name: one
        for name, one in all_of_them.items()
        if ("profiles" not in one or asked & set(one["profiles"])) and replicas(one) > 0
    }


def replicas(service: Mapping[str, Any]) -> int:
    """Count the containers of a service."""
    return int(service.get("deploy", {}).get("replicas", 1))


def is_ours(service: Mapping[str, Any]) -> bool:
    """Tell whether a service runs our code."""
    return "DATABASE_URL" in service.get("environment", {})
