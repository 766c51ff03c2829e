"""Keeps runs and their events: in memory, in SQLite, in PostgreSQL. The only room with drivers."""

from moa_server.journal.codec import Codec, Seal
from moa_server.journal.memory import MemoryJournal
from moa_server.journal.postgres import PostgresJournal
from moa_server.journal.postgres_store import migrate_postgres
from moa_server.journal.reaching import is_reached, until_reached
from moa_server.journal.seal import AesSeal
from moa_server.journal.sqlite import SqliteJournal
from moa_server.journal.sqlite_file import migrate_sqlite

__all__ = [
    "AesSeal",
    "Codec",
    "MemoryJournal",
    "PostgresJournal",
    "Seal",
    "SqliteJournal",
    "is_reached",
    "migrate_postgres",
    "migrate_sqlite",
    "until_reached",
]
