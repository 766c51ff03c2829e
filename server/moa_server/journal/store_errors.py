"""Names what can be wrong with a store. To callers each of them is a journal that cannot serve now.

JournalUnavailable
├── JournalFull        the store has no room left
├── JournalCorrupted   the store, or a record in it, cannot be understood
├── JournalTooNew      a newer server has changed the store beyond this one's understanding
├── JournalTooOld      the store waits for `moa-server migrate`
└── JournalSealed      no key of this server opens a record
"""

from moa_server.domain.errors import JournalUnavailable


class _Named(JournalUnavailable):
    @classmethod
    def reason(cls) -> str:
        """Return the contract's name: it does not tell stores' troubles apart."""
        return JournalUnavailable.reason()


class JournalFull(_Named):
    """The store has no room left."""


class JournalCorrupted(_Named):
    """The store, or a record in it, cannot be understood."""

    passes = False


class JournalTooNew(_Named):
    """A newer server has changed the store beyond this one's understanding."""

    passes = False


class JournalTooOld(_Named):
    """The store waits for its migration."""


class JournalSealed(_Named):
    """No key of this server opens a record."""

    passes = False
