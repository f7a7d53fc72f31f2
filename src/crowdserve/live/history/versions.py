"""The version of a history's tables, and how an older history becomes one of today.

Each step only adds, with a default, so that watchers of the version before go on writing while others are updated.
"""

import json
from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update

from crowdserve.errors import SetupError
from crowdserve.live.history.tables import ALERTS, COUNTS, OUTBOX, OWNERS, SCHEMA, STATUSES, VERSIONS, ZONES

_LOCK = 0x63726F77  # "crow": watchers that start together must not make the tables together


def prepare(engine: Engine, shown: str) -> None:
    """Make the tables, or bring them up to date.

    Args:
        engine: Of the database.
        shown: Its address, for messages.

    Raises:
        SetupError: If a newer crowdserve has made them.
        SQLAlchemyError: If the database does not take it.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        found = _known_version(connection, shown)
        if found == 0:
            SCHEMA.create_all(connection)
        for step in _STEPS[found - 1 : NEWEST - 1] if found else ():
            step(connection)
        _note(connection)


def check(engine: Engine, shown: str) -> None:
    """Check that counts can be read, which no step has changed so far.

    Args:
        engine: Of the database.
        shown: Its address, for messages.

    Raises:
        SetupError: If there are none, or a newer crowdserve has made the tables.
        SQLAlchemyError: If the database does not answer.
    """
    with engine.connect() as connection:
        if not _known_version(connection, shown):
            raise SetupError(f"there is no history in {shown}; name the one of the watcher with --history")


def _known_version(connection: Connection, shown: str) -> int:
    if _is_of_another_program(connection):
        raise SetupError(f"{shown} has tables of another program; name a database of its own for the history")
    found = version_of(connection)
    if found > NEWEST:
        raise SetupError(
            f"the history {shown} has tables of version {found}, and this crowdserve knows {NEWEST}; install the one "
            "that wrote it, or name another history"
        )
    return found


def _is_of_another_program(connection: Connection) -> bool:
    """Whether a table that has the name of one of ours is none: of these, no version has changed a column."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    return any(
        not {column.name for column in table.columns}
        <= {column["name"] for column in inspector.get_columns(table.name)}
        for table in (COUNTS, STATUSES, ALERTS, VERSIONS)
        if table.name in tables
    ) or (COUNTS.name in tables and OUTBOX.name not in tables)


def version_of(connection: Connection) -> int:
    """The version of the tables; 0 if there are none, 1 if they are from before they had a version."""
    inspector = inspect(connection)
    if inspector.has_table(VERSIONS.name):
        return int(connection.execute(select(VERSIONS.c.version)).scalar() or 0)
    return 1 if inspector.has_table("counts") else 0


def _note(connection: Connection) -> None:
    if not connection.execute(update(VERSIONS).values(version=NEWEST)).rowcount:
        connection.execute(insert(VERSIONS).values(version=NEWEST))


def _owners(connection: Connection) -> None:
    """From 1 to 2: messages know their camera, and cameras their owner."""
    VERSIONS.create(connection, checkfirst=True)
    OWNERS.create(connection, checkfirst=True)
    if "camera" not in {column["name"] for column in inspect(connection).get_columns(OUTBOX.name)}:
        connection.execute(text("ALTER TABLE outbox ADD COLUMN camera VARCHAR(63) NOT NULL DEFAULT ''"))
    for row in connection.execute(select(OUTBOX.c.id, OUTBOX.c.body)).all():
        camera = json.loads(row.body).get("data", {}).get("camera", "")
        connection.execute(update(OUTBOX).where(OUTBOX.c.id == row.id).values(camera=camera))


def _zones(connection: Connection) -> None:
    """From 2 to 3: zones that were changed in the console."""
    ZONES.create(connection, checkfirst=True)


def _sources(connection: Connection) -> None:
    """From 3 to 4: zones know the source whose picture they were drawn on."""
    if "source" not in {column["name"] for column in inspect(connection).get_columns(ZONES.name)}:
        connection.execute(text("ALTER TABLE zones ADD COLUMN source VARCHAR(64) NOT NULL DEFAULT ''"))


_STEPS: tuple[Callable[[Connection], None], ...] = (_owners, _zones, _sources)
NEWEST = len(_STEPS) + 1
