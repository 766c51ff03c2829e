import types
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moa_server.domain.event import AgentFailed, AnswerDelta, Event, Fact, RunStarted
from moa_server.domain.model import AttemptKind
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import AgentFailure, Attempt
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Usage
from moa_server.journal.codec import NAMES, VERSION, Codec, decoders_of
from moa_server.journal.store_errors import JournalCorrupted, JournalTooNew
from tests.journal.examples import NOON, PLAN, deltas, events

moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds have none
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
plain = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=4)
numbers = st.integers(0, 2**53)
LEAVES: Mapping[object, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: numbers,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    datetime: moments,
    types.NoneType: st.none(),
    Any: plain,
}


@cache
def anything(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401, PLR0911 - a type hint; one case, one return
    """Draw any value of a type of the domain."""
    if hint in LEAVES:
        return LEAVES[hint]
    arguments = typing.get_args(hint)
    match typing.get_origin(hint) or hint:
        case types.UnionType | typing.Union:
            return st.one_of(*(anything(one) for one in arguments))
        case origin if origin is tuple and arguments[-1] is ...:
            return st.lists(anything(arguments[0]), max_size=1).map(tuple)
        case origin if origin is tuple:
            return st.tuples(*(anything(one) for one in arguments))
        case origin if issubclass(origin, Enum):
            return st.sampled_from(origin)
        case origin if issubclass(origin, Mapping):
            return st.dictionaries(st.text(max_size=4), anything(arguments[1]), max_size=1)
        case cls:
            hints = typing.get_type_hints(cls)
            return st.builds(cls, **{field.name: anything(hints[field.name]) for field in fields(cls)})


KIND_CLASSES: list[Any] = list(NAMES)
facts: st.SearchStrategy[Fact] = st.one_of(*(anything(kind) for kind in KIND_CLASSES))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(moments, facts), min_size=1, max_size=2), numbers, numbers)
def test_any_events_come_back_as_they_were(drawn: list[tuple[datetime, Fact]], epoch: int, first: int) -> None:
    written = [Event("r", epoch, number, time, fact) for number, (time, fact) in enumerate(drawn, first)]
    assert Codec().read_events("r", Codec().events(written)) == written


@settings(max_examples=20, deadline=None)
@given(anything(Plan), anything(Ticket), anything(Usage))
def test_any_plan_ticket_and_usage_come_back_as_they_were(plan: Plan, ticket: Ticket, usage: Usage) -> None:
    codec = Codec()
    assert codec.read_plan(codec.plan(plan)) == plan
    assert codec.read_ticket(codec.ticket(ticket)) == ticket
    assert codec.read_usage(codec.usage(usage)) == usage


def test_every_fact_has_a_name_of_its_own() -> None:
    assert set(NAMES) == set(typing.get_args(Fact))
    assert set(decoders_of(NAMES)) == set(NAMES.values())


@pytest.mark.parametrize("fact", NAMES)
def test_no_server_starts_that_cannot_keep_every_fact(fact: type[Fact]) -> None:
    without = {kind: name for kind, name in NAMES.items() if kind is not fact}
    with pytest.raises(ValueError, match="every fact"):
        decoders_of(without)
    with pytest.raises(ValueError, match="every fact"):
        decoders_of({**without, fact: "run_started" if fact is not RunStarted else "run_failed"})


def test_names_under_which_facts_are_kept_never_change() -> None:
    """Records written by servers in service bear them."""
    assert list(NAMES.values()) == [
        "run_started",
        "run_adopted",
        "layer_started",
        "agent_started",
        "proposal_delta",
        "proposal_received",
        "agent_failed",
        "layer_closed",
        "decision_made",
        "run_degraded",
        "answer_delta",
        "answer_restarted",
        "run_succeeded",
        "run_failed",
        "run_cancelled",
    ]


def test_lists_among_options_come_back_as_tuples() -> None:
    plan = replace(PLAN, options={"deep": {"names": ["a", ["b"]]}})
    assert Codec().read_plan(Codec().plan(plan)).options == {"deep": {"names": ("a", ("b",))}}


def test_what_a_newer_server_adds_is_skipped() -> None:
    entries = [
        (NOON, "answer_delta", {"text": "a", "tone": "warm"}, "more"),
        (NOON, "moon_seen", {"phase": 3}),
        (NOON, "answer_delta", {"text": "b"}),
    ]
    data = msgspec.msgpack.encode((VERSION, 2, 7, entries, "more"))
    read = Codec().read_events("r", data)
    assert [(event.epoch, event.sequence, event.fact) for event in read] == [
        (2, 7, AnswerDelta("a")),
        (2, 9, AnswerDelta("b")),
    ]
    with pytest.raises(JournalTooNew, match="moon_seen"):
        Codec().read_events("r", data, strict=True)


def test_what_an_older_server_did_not_write_takes_its_default() -> None:
    data = msgspec.msgpack.encode((VERSION, {"caller": "ann", "request_id": "q", "fingerprint": "f"}))
    assert Codec().read_ticket(data) == Ticket("ann", "q", "f")


def test_the_endpoints_code_of_a_failure_is_kept_and_older_records_have_none() -> None:
    attempt = Attempt("m", AttemptKind.ADJUSTED, NOON, NOON, failure="MODEL_REJECTED_REQUEST", upstream_code="a_code")
    failure = AgentFailure("a", 0, "m", "MODEL_REJECTED_REQUEST", "no", (attempt,), permanent=True)
    data = Codec().events(events(AgentFailed(0, failure)))
    [event] = Codec().read_events("r1", data)
    assert event.fact == AgentFailed(0, failure)
    version, epoch, first, [[time, kind, fact]] = msgspec.msgpack.decode(data)
    del fact["failure"]["attempts"][0]["upstream_code"], fact["failure"]["permanent"]
    [event] = Codec().read_events("r1", msgspec.msgpack.encode((version, epoch, first, [[time, kind, fact]])))
    older = replace(failure, attempts=(replace(attempt, upstream_code=""),), permanent=False)
    assert event.fact == AgentFailed(0, older)


def test_the_format_stays_as_it_is() -> None:
    """Records written by servers in service have to stay readable."""
    written = "940201019193d6ff6aec6fc0ac616e737765725f64656c746181a474657874a7776f7264203120"
    assert Codec().events(deltas(1).events).hex() == written
    assert Codec().read_events("r1", bytes.fromhex(written)) == list(deltas(1).events)


def test_a_format_beyond_this_server_is_named() -> None:
    data = msgspec.msgpack.encode((VERSION + 1, 1, 1, []))
    with pytest.raises(JournalTooNew, match="format 3"):
        Codec().read_events("r", data)


@pytest.mark.parametrize("data", [b"", b"nonsense", msgspec.msgpack.encode({"a": 1})])
def test_nonsense_is_named(data: bytes) -> None:
    with pytest.raises(JournalCorrupted):
        Codec().read_events("r", data)


def test_half_characters_are_replaced() -> None:
    codec = Codec()
    written = events(AnswerDelta("half \ud83d"), RunStarted("q", PLAN))
    read = codec.read_events("r1", codec.events(written))
    assert [event.fact for event in read] == [AnswerDelta("half ?"), RunStarted("q", PLAN)]
