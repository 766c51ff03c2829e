"""Opens an SQLite file, brings its schema up, and names what is wrong with it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from moa_server.domain.errors import JournalUnavailable
from moa_server.journal.migrations import check, steps_of
from moa_server.journal.store_errors import JournalCorrupted, JournalFull

_BUSY_S = 5.0
_APPLICATION = 0x6D6F6131
"""``moa1``: tells our file from any other."""
_NAMED = {
    sqlite3.SQLITE_FULL: (JournalFull, "has no room left"),
    sqlite3.SQLITE_CORRUPT: (JournalCorrupted, "is corrupted"),
    sqlite3.SQLITE_NOTADB: (JournalCorrupted, "is no SQLite database"),
}
_BASE = 0xFF
"""The part of an extended error code that names its kind."""


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors into the house's."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _BASE
        kind, what = _NAMED.get(code, (JournalUnavailable, "cannot be used"))
        raise kind(f"journal {path} {what}: {error}") from error


def connect(path: Path, *, durable: bool = True) -> sqlite3.Connection:
    """Return a connection in write-ahead mode; not durable means that a power cut may take the last commits."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def migrate_sqlite(path: Path) -> int:
    """Create the file, or bring its schema up to this server; return the number of the newest step."""
    steps = steps_of("sqlite")
    with named_errors(path), closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        number, serves = _schema(connection, path)
        check(max(number, steps[-1].number), serves, steps[-1].number)
        for step in steps[number:]:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute("INSERT INTO steps VALUES (?, ?)", (step.number, step.serves))
        connection.execute("COMMIT")
    return max(number, steps[-1].number)


def _schema(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION:
        if tables:
            raise JournalCorrupted(f"journal {path} is a database of something else")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute("CREATE TABLE steps (number INTEGER PRIMARY KEY, serves INTEGER NOT NULL)")
    number, serves = connection.execute(
        "SELECT coalesce(max(number), 0), coalesce(max(serves), 0) FROM steps"
    ).fetchone()
    return number, serves


def _statements(sql: str) -> Iterator[str]:
    """Yield the statements one by one: run as a script they would each be a transaction of their own."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
