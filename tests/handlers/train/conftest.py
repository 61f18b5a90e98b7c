"""Tiny bases, made once; only tests that ask for one need torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

BASES = ["flux1-dev", "flux2-klein-4b"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of model files with a tiny base for each profile."""
    from tests.handlers.train import school  # noqa: PLC0415 - it needs torch

    return school.make_bases(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest, models: Path, s3: Mapping[str, str]) -> Iterator[str]:
    """Train on one base after the other."""
    from tests.handlers.train import school  # noqa: PLC0415 - it needs torch

    assert s3["S3_ENDPOINT_URL"]
    with school.taught(models, request.param):
        yield request.param
