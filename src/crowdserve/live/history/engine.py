"""How a history's database is reached."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url

_LIBPQ = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
_NOTICED = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Within half a minute a server counts as gone that has gone without a word; the URL may say otherwise. libpq would
wait for ever for one that does not answer, and minutes or hours for one whose connection leads nowhere.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""


def engine_of(url: str, *, read_only: bool = False) -> Engine:
    """SQLAlchemy's engine for a database; nothing is opened yet.

    Args:
        url: Its URL.
        read_only: Whether nothing will be written, to a database that may be one to read alone.

    Raises:
        ArgumentError: If it is no URL, or its parameters are not known.
        ImportError: If the database's package is not installed; `NoSuchModuleError` if there is none.
    """
    found = _noticing(make_url(url))
    engine = create_engine(_never_written(found) if read_only else found, pool_pre_ping=True)
    if engine.dialect.name == "sqlite" and not read_only:
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _never_written(url: URL) -> URL:
    """The URL of an SQLite file in a folder where nobody can write, not even the files that SQLite has beside it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return url
    path = Path(url.database).absolute()
    log = Path(f"{path}-wal")  # what is in it would be passed over
    may_write = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    if may_write or (log.is_file() and log.stat().st_size):
        return url
    return url.set(database=f"file:{quote(str(path))}").update_query_dict({"immutable": "1", "uri": "true"})


def _noticing(url: URL) -> URL:
    """The URL of a database that is noticed to be gone."""
    if url.drivername not in _LIBPQ:
        return url
    return url.update_query_dict({name: value for name, value in _NOTICED.items() if name not in url.query})


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers and the writer at the same time, and as little writing to the disk as is safe."""
    for setting in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {setting}")
