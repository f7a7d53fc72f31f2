"""Start the transformer.

    python -m crowdserve_transformer --predictor_host 127.0.0.1:8000 --repository model_repository

It answers at once, reports ready when Triton and its models are, and stops cleanly on SIGTERM. See --help.
"""

import logging
import os
import sys

import threadpoolctl

from crowdserve.descriptors import allow_descriptors
from crowdserve.errors import SetupError
from crowdserve_transformer.allocator import keep_freed_memory
from crowdserve_transformer.ports import check_ports, most_connections
from crowdserve_transformer.readiness.repository import find_record, verify_repository, wait_for_repository
from crowdserve_transformer.settings import read_settings

try:
    import uvloop as loops  # sends megabytes at less cost
except ImportError:  # uvloop does not exist for Windows
    import asyncio as loops  # type: ignore[no-redef]

EXIT_SETUP = 2
_DESCRIPTORS = 256
"""Beside connections of callers: 33 at rest, connections to Tritons and watchers, and what is just being closed."""


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        _configure_logging(settings.log_level)
        keep_freed_memory()
        check_ports(settings)
        allow_descriptors(most_connections(settings) + _DESCRIPTORS, "lower max_connections")
        wait_for_repository(settings, os.environ)
        verify_repository(settings)
        find_record(settings)
        # These import all that serves, which takes seconds; what is wrong with the settings has been said before.
        from crowdserve_transformer.model import load_classifier
        from crowdserve_transformer.server import serve

        # The classifier is one small matrix product per photo; more BLAS threads would only spin.
        with threadpoolctl.threadpool_limits(limits=1):
            loops.run(serve(settings, load_classifier(settings)))
    except SetupError as err:
        print(f"crowdserve_transformer: {err}", file=sys.stderr)
        return EXIT_SETUP
    return 0


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    for name in ("crowdserve", "crowdserve_transformer"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form


if __name__ == "__main__":
    sys.exit(main())
