"""Answers that have to satisfy a schema."""

import json
import sys

import pytest

from moa_server.domain.errors import InvalidRequest
from moa_server.domain.event import AnswerDelta
from moa_server.domain.query import Overrides
from moa_server.engine.runs.response_schema import check_schema, mismatch
from tests.engine.facts import ended, failed, started, succeeded
from tests.engine.fakes import FakeModel, saying, spec
from tests.engine.houses import OpenHouse

SCHEMA = json.dumps({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}})
ASKED = Overrides(response_schema=SCHEMA)


async def test_a_right_answer_is_shown_whole(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), saying('{"tot', 'al": 3}'))
    house = await open_house({"a": FakeModel(spec("a")), "boss": boss}, [["a"]])
    events = await house.carried(overrides=ASKED)
    assert succeeded(events).answer.text == '{"total": 3}'
    assert [event.fact.text for event in events if isinstance(event.fact, AnswerDelta)] == ['{"total": 3}']
    assert boss.asked[0].prompt.response_schema == SCHEMA


async def test_a_wrong_answer_is_repaired_once(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), saying("three"), saying('{"total": 3}'))
    house = await open_house({"a": FakeModel(spec("a")), "boss": boss}, [["a"]])
    events = await house.carried(overrides=ASKED)
    assert succeeded(events).answer.text == '{"total": 3}'
    assert "three" in boss.asked[1].prompt.messages[-2].text
    assert ended(events).usage.calls == 3 == started(events).plan.worst_case.calls


async def test_an_answer_that_stays_wrong_is_a_typed_error_that_names_the_place(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), saying('{"total": "3"}'))
    house = await open_house({"a": FakeModel(spec("a")), "boss": boss}, [["a"]])
    end = failed(await house.carried(overrides=ASKED))
    assert (end.reason, dict(end.metadata)) == ("ANSWER_MISMATCH", {"path": "$.total"})


@pytest.mark.parametrize(
    "schema",
    [
        "not json",
        "[]",
        '{"type": 7}',
        '{"$ref": "http://example.com/schema"}',
        '{"properties": {"a": {"$ref": "file:///etc/passwd"}}}',
        '{"patternProperties": {"(a+)+$": {}}}',
        "[" * 100_000,
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_schema(schema)
    assert refused.value.violations[0].field == "query.overrides.response_schema"


def test_a_callers_regular_expression_cannot_keep_the_server_busy() -> None:
    assert mismatch(json.dumps("a" * 60 + "!"), '{"pattern": "^(a+)+$"}') is None


def test_references_that_double_the_work_with_every_level_cannot_keep_the_server_busy() -> None:
    steps = {f"s{level}": {"allOf": [{"$ref": f"#/$defs/s{level + 1}"}] * 2} for level in range(40)}
    schema = json.dumps({"$defs": {**steps, "s40": {}}, "$ref": "#/$defs/s0"})
    check_schema(schema)
    found = mismatch("{}", schema)
    assert found is not None
    assert "too long" in found.detail


def test_a_schema_that_goes_round_in_circles_is_not_satisfied() -> None:
    assert mismatch("{}", '{"$ref": "#"}') is not None


def test_a_circle_is_left_where_a_debugger_takes_stack_as_well() -> None:
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert mismatch("{}", '{"$ref": "#"}') is not None
    finally:
        sys.settrace(before)


def test_a_schema_may_refer_to_its_parts() -> None:
    part = {"$defs": {"n": {"type": "number"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    assert mismatch(json.dumps([1] * 500), json.dumps(part)) is None
    assert mismatch(json.dumps([1] * 500 + ["x"]), json.dumps(part)) is not None
