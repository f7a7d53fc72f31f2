"""`crowdserve` and `python -m crowdserve`: the command line, or what to install for it."""

import importlib.util
import signal
import sys

NEEDED = ("typer", "rich", "httpx", "platformdirs")


def main() -> None:
    """Run the command line; say which extras to install where pip has installed none."""
    _wait_with_hang_ups(sys.argv[1:])
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install = "pip install 'crowdserve[serving,embedded,cli]'"
        print(f"crowdserve: the command line needs {', '.join(missing)}; run: {install}", file=sys.stderr)
        sys.exit(2)
    from crowdserve.cli.app import main as run

    run()


def _wait_with_hang_ups(arguments: list[str]) -> None:
    """Let SIGHUP pass until the watcher takes it for a request to read its configuration, which it has not read yet."""
    has_file = any(each.endswith((".yaml", ".yml")) for each in arguments)
    if arguments[:1] == ["watch"] and has_file and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    main()
