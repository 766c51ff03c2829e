"""Turns runs and events into bytes and back: stable, versioned, and patient with what a newer server has added.

A dataclass is a map by the names of its fields: those that are not known are skipped, missing ones take their defaults.
A fact carries its kind; those of an unknown kind are skipped, as readers of events do. Texts may be sealed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from moa_server.domain import event as facts
from moa_server.domain.event import Event, Fact
from moa_server.domain.plan import Plan
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Usage
from moa_server.journal.store_errors import JournalCorrupted, JournalSealed, JournalTooNew

VERSION = 1
"""Raised only when an older server would misread what is written."""

KINDS: Mapping[str, type[Fact]] = {
    "run_started": facts.RunStarted,
    "run_adopted": facts.RunAdopted,
    "layer_started": facts.LayerStarted,
    "agent_started": facts.AgentStarted,
    "proposal_delta": facts.ProposalDelta,
    "proposal_received": facts.ProposalReceived,
    "agent_failed": facts.AgentFailed,
    "layer_closed": facts.LayerClosed,
    "decision_made": facts.DecisionMade,
    "answer_delta": facts.AnswerDelta,
    "answer_restarted": facts.AnswerRestarted,
    "run_succeeded": facts.RunSucceeded,
    "run_failed": facts.RunFailed,
    "run_cancelled": facts.RunCancelled,
}
"""The names under which facts are kept. They never change, whatever the classes are called."""
_NAMES = {fact: kind for kind, fact in KINDS.items()}

SEALED = b"\xc1"
"""How a sealed record begins, and no other does."""

_T = TypeVar("_T")


class Seal(Protocol):
    """What keeps texts from those who can read the store."""

    def seal(self, data: bytes) -> bytes: ...

    def open(self, data: bytes) -> bytes: ...


class Unsealed:
    """Leaves everything as it is."""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        if data.startswith(SEALED):
            raise JournalSealed("a record is sealed, and this server has no key file")
        return data


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    time: datetime
    kind: str
    fact: Any


class _RawEntry(msgspec.Struct, array_like=True, frozen=True):
    time: datetime
    kind: str
    fact: msgspec.Raw


class _Chunk(msgspec.Struct, array_like=True, frozen=True):
    """Events of one epoch, numbered upwards from the first."""

    version: int
    epoch: int
    first: int
    entries: list[_Entry]


class _RawChunk(msgspec.Struct, array_like=True, frozen=True):
    version: int
    epoch: int
    first: int
    entries: list[_RawEntry]


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    version: int
    value: Any


class _RawKept(msgspec.Struct, array_like=True, frozen=True):
    version: int
    value: msgspec.Raw


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_chunks = msgspec.msgpack.Decoder(_RawChunk)
_kept = msgspec.msgpack.Decoder(_RawKept)
_facts = {kind: msgspec.msgpack.Decoder(fact) for kind, fact in KINDS.items()}
_plans = msgspec.msgpack.Decoder(Plan)
_tickets = msgspec.msgpack.Decoder(Ticket)
_usages = msgspec.msgpack.Decoder(Usage)


class Codec:
    """Writes and reads what is kept; plans and events under a seal."""

    def __init__(self, seal: Seal | None = None) -> None:
        self._seal = seal or Unsealed()

    def events(self, events: Sequence[Event]) -> bytes:
        """Return consecutive events of one run and epoch as bytes."""
        entries = [_Entry(event.time, _NAMES[type(event.fact)], event.fact) for event in events]
        return self._seal.seal(_encoded(_Chunk(VERSION, events[0].epoch, events[0].sequence, entries)))

    def read_events(self, run_id: str, data: bytes) -> list[Event]:
        """Return the events, without those whose kind is not known."""
        chunk = _decoded(_chunks, self._seal.open(data))
        _check(chunk.version)
        return list(_events(run_id, chunk))

    def plan(self, plan: Plan) -> bytes:
        return self._seal.seal(_encoded(_Kept(VERSION, plan)))

    def read_plan(self, data: bytes) -> Plan:
        """Return a plan; the lists among its options come back as tuples."""
        return _with_tuples(_unwrapped(_plans, self._seal.open(data)))

    def ticket(self, ticket: Ticket) -> bytes:
        return _encoded(_Kept(VERSION, ticket))

    def read_ticket(self, data: bytes) -> Ticket:
        return _unwrapped(_tickets, data)

    def usage(self, usage: Usage) -> bytes:
        return _encoded(_Kept(VERSION, usage))

    def read_usage(self, data: bytes) -> Usage:
        return _unwrapped(_usages, data)


_FRAME = 200
"""What an event takes in memory beside its texts."""


def size_of(value: Fact | Plan) -> int:
    """Return about how many bytes a fact or a plan takes in memory."""
    if isinstance(value, facts.AnswerDelta | facts.ProposalDelta):
        return _FRAME + len(value.text)
    return _FRAME + len(_encoded(value))


def _events(run_id: str, chunk: _RawChunk) -> Iterator[Event]:
    for sequence, entry in enumerate(chunk.entries, chunk.first):
        decoder = _facts.get(entry.kind)
        if decoder is None:
            continue
        fact = _decoded(decoder, entry.fact)
        if isinstance(fact, facts.RunStarted):
            fact = replace(fact, plan=_with_tuples(fact.plan))
        yield Event(run_id, chunk.epoch, sequence, entry.time, fact)


def _encoded(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(msgspec.to_builtins(value, builtin_types=(datetime, bytes), enc_hook=_plain)))


def _mended(value: Any) -> Any:  # noqa: ANN401 - whatever plain data holds
    """Replace half characters, which some models write and no encoding has."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_mended(key): _mended(item) for key, item in value.items()}
        case list() | tuple():
            return [_mended(item) for item in value]
        case _:
            return value


def _decoded(decoder: msgspec.msgpack.Decoder[_T], data: bytes | msgspec.Raw) -> _T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise JournalCorrupted(f"a record of the journal cannot be read: {error}") from error


def _unwrapped(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    kept = _decoded(_kept, data)
    _check(kept.version)
    return _decoded(decoder, kept.value)


def _check(version: int) -> None:
    if version > VERSION:
        raise JournalTooNew(f"a record has format {version}, this server reads up to {VERSION}")


def _with_tuples(plan: Plan) -> Plan:
    return replace(plan, options=_frozen(plan.options)) if plan.options else plan


def _frozen(value: Any) -> Any:  # noqa: ANN401 - whatever plain data holds
    match value:
        case dict():
            return {key: _frozen(item) for key, item in value.items()}
        case list():
            return tuple(_frozen(item) for item in value)
        case _:
            return value
