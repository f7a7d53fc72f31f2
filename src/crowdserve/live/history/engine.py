"""How a history's database is reached."""

from typing import Any

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


def engine_of(url: str) -> Engine:
    """SQLAlchemy's engine for a database; nothing is opened yet.

    Args:
        url: Its URL.

    Raises:
        ArgumentError: If it is no URL, or its parameters are not known.
        ImportError: If the database's package is not installed; `NoSuchModuleError` if there is none.
    """
    engine = create_engine(_noticing(make_url(url)), pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _noticing(url: URL) -> URL:
    """The URL of a database that is noticed to be gone."""
    if url.drivername not in _LIBPQ:
        return url
    return url.update_query_dict({name: value for name, value in _NOTICED.items() if name not in url.query})


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers and the writer at the same time, and as little writing to the disk as is safe."""
    for setting in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {setting}")
