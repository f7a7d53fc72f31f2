"""The chart as each values file in ci/ renders it."""

import pytest

from tests.support.rendering import CI, Chart, Manifests


@pytest.fixture(scope="session", params=CI)
def manifests(request: pytest.FixtureRequest, chart: Chart) -> Manifests:
    """What each values file in ci/ renders."""
    return chart.render(request.param)
