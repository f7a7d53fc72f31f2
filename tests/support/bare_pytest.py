"""Runs of pytest that load only the plugins that they name: finding and loading all takes seconds."""

import os


def bare_environment() -> dict[str, str]:
    """This process's environment for such a run."""
    return {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
