"""A PostgreSQL of the tests: that at CROWDSERVE_POSTGRES, or one of Debian's that is started for them."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from crowdserve.live.history.store import HistoryStore
from crowdserve.live.history.tables import SCHEMA
from tests.support.free_ports import free_port

NAMED = os.environ.get("CROWDSERVE_POSTGRES")
_START_SECONDS = 30.0


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL that Debian's packages have installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


PROGRAMS = _programs()
needs_postgres = pytest.mark.skipif(
    not NAMED and not (os.environ.get("CROWDSERVE_LIVE_TEST") and PROGRAMS),
    reason="make live-test with Debian's postgresql installed, or CROWDSERVE_POSTGRES",
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy's URL of a PostgreSQL whose tables may be emptied."""
    if NAMED:
        yield NAMED
        return
    with running_postgres() as url:
        yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The same, without the tables of a history."""
    store = HistoryStore(postgres)
    SCHEMA.drop_all(store.engine)
    store.close()
    return postgres


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server on loopback with a database of its own, which is removed afterwards. It refuses to run as root."""
    assert PROGRAMS is not None
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    folder, port = Path(tempfile.mkdtemp(prefix="crowdserve-postgres-", dir="/tmp")), free_port()
    shutil.chown(folder, user)
    data = folder / "data"
    make = [PROGRAMS / "initdb", "-D", data, "--username=crowd", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    options = ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    run = [PROGRAMS / "postgres", "-D", data, "-p", str(port), *(word for each in options for word in ("-c", each))]
    try:
        subprocess.run(make, user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        with (folder / "log").open("wb") as log, subprocess.Popen(run, user=user, cwd=folder, stderr=log) as server:
            try:
                yield _waited(f"postgresql+psycopg://crowd@127.0.0.1:{port}/postgres", server)
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder)


def _waited(url: str, server: "subprocess.Popen[bytes]") -> str:
    engine, deadline = create_engine(url), time.monotonic() + _START_SECONDS
    while True:
        try:
            engine.connect().close()
            engine.dispose()
            return url
        except OperationalError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
