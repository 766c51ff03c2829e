"""A kind of journal: what the operator can say of it, how it is opened, and how its schema is brought up."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal.codec import Codec

_Options = TypeVar("_Options")


@dataclass(frozen=True, slots=True)
class JournalKind(Generic[_Options]):
    """One way to keep runs, which a configuration names by its key in ``JOURNALS``."""

    options: type[_Options]
    """What can be said of it: a frozen dataclass with a text under each field, of which the configuration's section is
    made. A ``Path`` is relative to the configuration file, a ``Secret`` a reference to where it is kept."""
    open: Callable[[_Options, Retention, Codec, float], AbstractAsyncContextManager[Journal]]
    """Makes a journal that keeps finished runs within the retention, writes them by the codec, and takes an owner for
    silent after so many seconds. It is entered before use."""
    migrate: Callable[[_Options], Coroutine[Any, Any, int]] | None = None
    """Brings its schema up to this server, and returns the number of the newest step; None where there is no schema."""
