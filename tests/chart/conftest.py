"""The chart rendered with each values file in ci/."""

import pytest

from tests.support.rendering import CI, Chart, Manifests


@pytest.fixture(scope="session", params=CI)
def manifests(request: pytest.FixtureRequest, chart: Chart) -> Manifests:
    """The objects rendered from each values file in ci/."""
    return chart.render(request.param)
