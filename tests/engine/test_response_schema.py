"""Answers that have to satisfy a schema."""

import asyncio
import json

import pytest

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import ModelUnreachable
from moa_server.domain.event import AnswerDelta
from moa_server.domain.model import FinishReason
from moa_server.domain.query import Overrides
from tests.engine.facts import ended, facts, failed, started, succeeded
from tests.engine.fakes import Asked, FakeModel, failing, saying, silent, spec
from tests.engine.houses import House, OpenHouse

SCHEMA = json.dumps({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}})
ASKED = Overrides(response_schema=SCHEMA)
FENCE = "```"


async def housed(open_house: OpenHouse, boss: FakeModel) -> House:
    return await open_house({"a": FakeModel(spec("a")), "boss": boss}, [["a"]])


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
    assert (end.reason, dict(end.metadata)) == ("ANSWER_MISMATCH", {"path": "$.total", "keyword": "type"})
    assert "is a text, not number" in end.detail
    assert end.partial_text == '{"total": "3"}'


@pytest.mark.parametrize(
    "said",
    [
        f'{FENCE}json\n{{"total": 3}}\n{FENCE}',
        f'\n{FENCE}\n{{"total": 3}}\n{FENCE}\n\n',
        f'Here is the total:\n\n{FENCE}json\n{{"total": 3}}\n{FENCE}\nI hope that it helps.',
        '~~~json\r\n{"total": 3}\r\n~~~',
    ],
    ids=["a fence", "a bare fence", "prose around it", "tildes"],
)
async def test_json_inside_a_fence_is_the_answer_and_needs_no_repair(open_house: OpenHouse, said: str) -> None:
    boss = FakeModel(spec("boss"), saying(*said))
    events = await (await housed(open_house, boss)).carried(overrides=ASKED)
    assert succeeded(events).answer.text == '{"total": 3}'
    assert [fact.text for fact in facts(events, AnswerDelta)] == ['{"total": 3}']
    assert len(boss.asked) == 1


async def test_of_two_fences_none_is_chosen(open_house: OpenHouse) -> None:
    block = f'{FENCE}json\n{{"total": 3}}\n{FENCE}\n'
    boss = FakeModel(spec("boss"), saying(block * 2), saying('{"total": 4}'))
    events = await (await housed(open_house, boss)).carried(overrides=ASKED)
    assert succeeded(events).answer.text == '{"total": 4}'


@pytest.mark.parametrize(
    "said",
    [
        '{"total": NaN}',
        '{"total": -Infinity}',
        '{"total": 1e999}',
        f'{{"total": {"9" * 400}}}',
        f'{{"total": {"9" * 5000}}}',
        f'{{"total": {"[" * 2_000}',
        '{"total": "\\ud800"}',
    ],
    ids=["NaN", "Infinity", "1e999", "400 digits", "5000 digits", "nested", "half a character"],
)
async def test_what_is_no_json_is_the_mismatch_it_is(open_house: OpenHouse, said: str) -> None:
    multiple = {"type": "object", "properties": {"total": {"multipleOf": 0.01}}}
    boss = FakeModel(spec("boss"), saying(said))
    house = await housed(open_house, boss)
    end = failed(await house.carried(overrides=Overrides(response_schema=json.dumps(multiple))))
    assert (end.reason, dict(end.metadata)) == ("ANSWER_MISMATCH", {"path": "$", "keyword": "json"})
    assert "it is not JSON: " in end.detail
    assert end.partial_text == said


async def test_a_repair_that_fails_says_why_and_keeps_the_first_text(open_house: OpenHouse) -> None:
    unreachable = failing(ModelUnreachable("boss could not be connected to"))
    boss = FakeModel(spec("boss"), saying('{"total": "3"}'), unreachable)
    end = failed(await (await housed(open_house, boss)).carried(overrides=ASKED))
    assert (end.reason, dict(end.metadata)) == (
        "ANSWER_MISMATCH",
        {"path": "$.total", "keyword": "type", "repair": "MODEL_UNREACHABLE"},
    )
    assert end.detail.endswith("its repair failed: boss could not be connected to")
    assert end.partial_text == '{"total": "3"}'
    assert [(failure.agent, failure.reason) for failure in end.failures] == [("boss", "MODEL_UNREACHABLE")]


async def test_a_run_that_ends_while_its_answer_is_repaired_keeps_the_first_text(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), saying("three"), silent())
    end = failed(await (await housed(open_house, boss)).carried(overrides=ASKED, time_s=0.3))
    assert "three" in (end.partial_text, end.detail)
    assert end.partial_text == "three"


async def test_an_answer_that_the_endpoint_withheld_in_part_is_degraded_with_its_own_reason(
    open_house: OpenHouse,
) -> None:
    async def filtered(asked: Asked) -> None:
        asked.say("half of")
        asked.finish = FinishReason.CONTENT_FILTER

    events = await (await housed(open_house, FakeModel(spec("boss"), filtered))).carried()
    [degraded] = succeeded(events).answer.degradations
    assert degraded.reason is DegradationReason.ANSWER_FILTERED


async def test_a_large_answer_is_checked_while_others_have_their_turns(open_house: OpenHouse) -> None:
    numbers = json.dumps({"type": "array", "items": {"type": "integer"}})
    boss = FakeModel(spec("boss"), saying(json.dumps([1] * 60_000)))
    house = await housed(open_house, boss)
    run = await house.start(overrides=Overrides(response_schema=numbers))
    await boss.finished.wait()
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    assert isinstance(succeeded(await house.events(run.run_id)).answer.text, str)
    others.cancel()
    assert turns > 60_000 // 4_000
