"""Turns runs and events into bytes and back: stable, versioned, and patient with what a newer server has added.

A dataclass is a map by the names of its fields: those that are not known are skipped, missing ones take their defaults.
A fact carries its kind; those of an unknown kind are skipped, as readers of events do. Texts may be sealed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, get_args

import msgspec

from moa_server.domain import event as facts
from moa_server.domain.event import Event, Fact
from moa_server.domain.plan import Plan
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Usage
from moa_server.journal.seal import Seal, Unsealed
from moa_server.journal.store_errors import JournalCorrupted, JournalTooNew

VERSION = 2
"""Raised only when an older server would misread what is written."""

NAMES: Mapping[type[Fact], str] = {
    facts.RunStarted: "run_started",
    facts.RunAdopted: "run_adopted",
    facts.LayerStarted: "layer_started",
    facts.AgentStarted: "agent_started",
    facts.ProposalDelta: "proposal_delta",
    facts.ProposalReceived: "proposal_received",
    facts.AgentFailed: "agent_failed",
    facts.LayerClosed: "layer_closed",
    facts.DecisionMade: "decision_made",
    facts.RunDegraded: "run_degraded",
    facts.AnswerDelta: "answer_delta",
    facts.AnswerRestarted: "answer_restarted",
    facts.RunSucceeded: "run_succeeded",
    facts.RunFailed: "run_failed",
    facts.RunCancelled: "run_cancelled",
}
"""The names under which facts are kept. They never change, whatever the classes are called."""

_T = TypeVar("_T")


class _KeptEvent(msgspec.Struct, array_like=True, frozen=True):
    time: datetime
    kind: str
    fact: Any


class _RawEvent(msgspec.Struct, array_like=True, frozen=True):
    time: datetime
    kind: str
    fact: msgspec.Raw


class _KeptEvents(msgspec.Struct, array_like=True, frozen=True):
    """Events of one epoch, numbered upwards from the first."""

    version: int
    epoch: int
    first: int
    entries: list[_KeptEvent]


class _RawEvents(msgspec.Struct, array_like=True, frozen=True):
    version: int
    epoch: int
    first: int
    entries: list[_RawEvent]


class _KeptValue(msgspec.Struct, array_like=True, frozen=True):
    version: int
    value: Any


class _RawValue(msgspec.Struct, array_like=True, frozen=True):
    version: int
    value: msgspec.Raw


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_chunks = msgspec.msgpack.Decoder(_RawEvents)
_kept = msgspec.msgpack.Decoder(_RawValue)
_plans = msgspec.msgpack.Decoder(Plan)
_tickets = msgspec.msgpack.Decoder(Ticket)
_usages = msgspec.msgpack.Decoder(Usage)


def decoders_of(names: Mapping[type[Fact], str]) -> dict[str, "msgspec.msgpack.Decoder[Fact]"]:
    """Return what reads each fact there is, by the name under which it is kept.

    Raises:
        ValueError: a fact has no name of its own.
    """
    kinds: tuple[type[Fact], ...] = get_args(Fact)
    decoders = {names[kind]: msgspec.msgpack.Decoder(kind) for kind in kinds if kind in names}
    if not len(kinds) == len(names) == len(decoders):
        raise ValueError("every fact is kept under one name of its own, and nothing else is")
    return decoders


# Made on import, so that no server starts that could not read or write a fact.
_facts = decoders_of(NAMES)


class Codec:
    """Writes and reads what is kept; plans and events under a seal."""

    def __init__(self, seal: Seal | None = None) -> None:
        self._seal = seal or Unsealed()

    def events(self, events: Sequence[Event]) -> bytes:
        """Return consecutive events of one run and epoch as bytes."""
        entries = [_KeptEvent(event.time, NAMES[type(event.fact)], event.fact) for event in events]
        return self._seal.seal(_encoded(_KeptEvents(VERSION, events[0].epoch, events[0].sequence, entries)))

    def read_events(self, run_id: str, data: bytes, *, strict: bool = False) -> list[Event]:
        """Return the events, without those whose kind is not known.

        Raises:
            JournalTooNew: ``strict``ly read, there is one.
        """
        chunk = _decoded(_chunks, self._seal.open(data))
        _check(chunk.version)
        events: list[Event] = []
        for sequence, entry in enumerate(chunk.entries, chunk.first):
            decoder = _facts.get(entry.kind)
            if decoder is None:  # of a newer server; its sequence stays its own
                if strict:
                    raise JournalTooNew(f"run {run_id} has a fact that this server does not know: {entry.kind}")
                continue
            fact = _decoded(decoder, entry.fact)
            if isinstance(fact, facts.RunStarted):
                fact = replace(fact, plan=_with_tuples(fact.plan))
            events.append(Event(run_id, chunk.epoch, sequence, entry.time, fact))
        return events

    def plan(self, plan: Plan) -> bytes:
        return self._seal.seal(_encoded(_KeptValue(VERSION, plan)))

    def read_plan(self, data: bytes) -> Plan:
        """Return a plan; the lists among its options come back as tuples."""
        return _with_tuples(_unwrapped(_plans, self._seal.open(data)))

    def ticket(self, ticket: Ticket) -> bytes:
        return _encoded(_KeptValue(VERSION, ticket))

    def read_ticket(self, data: bytes) -> Ticket:
        return _unwrapped(_tickets, data)

    def usage(self, usage: Usage) -> bytes:
        return _encoded(_KeptValue(VERSION, usage))

    def read_usage(self, data: bytes) -> Usage:
        return _unwrapped(_usages, data)


_FRAME = 200
"""What an event takes in memory beside its texts."""


def size_of(value: Fact | Plan) -> int:
    """Return about how many bytes a fact or a plan takes in memory."""
    # Nearly all facts of a run are deltas: they are not encoded only to be measured.
    if isinstance(value, facts.AnswerDelta | facts.ProposalDelta):
        return _FRAME + len(value.text)
    return _FRAME + len(_encoded(value))


def _encoded(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # Looked for only now, since it is rare, and looking for it costs more than encoding does.
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
