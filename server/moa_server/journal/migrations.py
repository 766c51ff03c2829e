"""The numbered steps that bring a store's schema up to this server, forward only.

A step's first line names the oldest server, by its newest step, that can go on working beside it.
"""

import re
from dataclasses import dataclass
from importlib.resources import files

from moa_server.journal.store_errors import JournalTooNew, JournalTooOld

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_SERVES = re.compile(r"-- serves: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a schema."""

    number: int
    serves: int
    """The newest step that the oldest server still served knows."""
    sql: str


def steps_of(store: str) -> tuple[Step, ...]:
    """Return the steps of a kind of store, in order."""
    folder = files("moa_server.journal") / "steps" / store
    found = []
    for file in folder.iterdir():
        sql = file.read_text()
        name, serves = _NAME.fullmatch(file.name), _SERVES.match(sql)
        if name is None or serves is None:
            raise ValueError(f"{file.name} is no step of a migration")
        found.append(Step(int(name[1]), int(serves[1]), sql))
    return tuple(sorted(found, key=lambda step: step.number))


def check(number: int, serves: int, newest: int) -> None:
    """Refuse a store this server, whose newest step is ``newest``, cannot work with."""
    if serves > newest:  # a newer schema is no hindrance by itself: servers of two versions work side by side
        raise JournalTooNew(
            f"the journal's schema is at step {number}, which needs servers of step {serves}, not of {newest}"
        )
    if number < newest:
        raise JournalTooOld(f"the journal's schema is at step {number}, this server needs {newest}: moa-server migrate")
