"""KEDA understands the manifest, and what it asks PostgreSQL for is the figure that the dashboard shows."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from sqlalchemy import text

from db import figures
from db.base import quick

HERE = Path(__file__).parent
MANIFEST: list[dict[str, Any]] = list(yaml.safe_load_all((HERE.parents[1] / "deploy/keda/workers.yaml").read_text()))
SCALED = [one for one in MANIFEST if one["kind"] == "ScaledObject"]


def schema(name: str) -> Any:
    return json.loads((HERE / "schemas" / f"{name}.json").read_text())


@pytest.mark.parametrize("resource", MANIFEST, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_cluster_takes_each_resource_as_it_is(resource: dict[str, Any]) -> None:
    jsonschema.validate(resource, schema(f"keda-{resource['kind'].lower()}"))
    typo = {**resource, "spec": {**resource["spec"], "maxReplicas": 3}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(typo, schema(f"keda-{resource['kind'].lower()}"))


@pytest.mark.parametrize("scaled", SCALED, ids=lambda one: one["metadata"]["name"])
def test_the_scaler_knows_what_it_is_told(scaled: dict[str, Any]) -> None:
    known = {one["name"]: one for one in schema("keda-postgresql")["parameters"]}
    (auth,) = [one for one in MANIFEST if one["kind"] == "TriggerAuthentication"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == schema("keda-postgresql")["type"]
    assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]
    assert all(known[name].get("metadataVariableReadable") for name in trigger["metadata"])
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    (secret,) = auth["spec"]["secretTargetRef"]
    assert known[secret["parameter"]]["triggerAuthenticationVariableReadable"]


def test_the_manifest_scales_by_our_figure(database: str) -> None:  # noqa: ARG001 - it must run
    told = {row.queue: row.jobs for row in figures.read_now().backlog}
    queries = [one["spec"]["triggers"][0]["metadata"]["query"] for one in SCALED]
    with quick().connect() as connection:
        counted = [connection.execute(text(query)).one() for query in queries]
    assert sorted(counted) == sorted((jobs,) for jobs in told.values())
