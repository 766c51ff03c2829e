"""Keeps runs and their events: in memory, in SQLite, in PostgreSQL. The only room with drivers."""

from collections.abc import Mapping
from typing import Any

from moa_server.journal.codec import Codec
from moa_server.journal.kind import JournalKind
from moa_server.journal.memory import MEMORY
from moa_server.journal.postgres import POSTGRES
from moa_server.journal.reachability import is_reached, watching_store
from moa_server.journal.seal import AesSeal
from moa_server.journal.sqlite import SQLITE

__all__ = ["JOURNALS", "AesSeal", "Codec", "is_reached", "watching_store"]

JOURNALS: Mapping[str, JournalKind[Any]] = {
    "memory": MEMORY,
    "sqlite": SQLITE,
    "postgres": POSTGRES,
}
"""The kinds of journal, by the key under ``journal`` that names each in a configuration; the first is the default."""
