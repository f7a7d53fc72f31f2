"""Packages that only some commands need."""

import importlib.util

from crowdserve.errors import SetupError


def require_packages(
    names: tuple[str, ...] = ("av", "pydantic", "ruamel", "sqlalchemy", "starlette", "uvicorn", "yaml"),
    extra: str = "crowdserve[live]",
) -> None:
    """Check that packages are there.

    Args:
        names: Of the modules.
        extra: What to install for them.

    Raises:
        SetupError: If one is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"watching cameras needs {', '.join(missing)}; install {extra}")
