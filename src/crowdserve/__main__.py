"""`crowdserve` and `python -m crowdserve`: the command line, or what to install for it."""

import importlib.util
import sys

NEEDED = ("typer", "rich", "httpx", "platformdirs")


def main() -> None:
    """Run the command line; say which extras to install where pip has installed none."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install = "pip install 'crowdserve[serving,embedded,cli]'"
        print(f"crowdserve: the command line needs {', '.join(missing)}; run: {install}", file=sys.stderr)
        sys.exit(2)
    from crowdserve.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
