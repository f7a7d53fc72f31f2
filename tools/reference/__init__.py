"""The generated parts of the reference pages.

    crowdserve.cli.app ────────────────────► docs/reference/cli.md
    crowdserve.errors ─────────────────────► docs/reference/errors.md
    crowdserve_transformer.settings ───────► docs/reference/settings.md
    crowdserve_transformer.metrics ────────► docs/reference/metrics.md
    crowdserve.protocol.tensors, rest,
        parameters, rpc.service ───────────► docs/reference/api.md
    docstrings of the packages ────────────► docs/explanation/architecture.md

`python -m tools.reference` writes what is out of date, `--check` fails instead.
"""
