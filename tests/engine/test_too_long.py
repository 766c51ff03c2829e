"""An endpoint that says a prompt is too long is asked once more, with references cut shorter."""

from itertools import pairwise

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import ModelWindowExceeded
from moa_server.domain.event import AgentStarted, RunFailed
from moa_server.domain.mixture import Rules
from tests.engine.facts import closed_layers, ended, failed, succeeded
from tests.engine.fakes import FakeModel, Script, failing, saying, sizes, spec
from tests.engine.houses import House, OpenHouse

TOO_LONG = failing(ModelWindowExceeded("counted more than its window holds"))


async def council(
    open_house: OpenHouse,
    said: str,
    *scripts: Script,
    window: int = 8192,
    rules: Rules = Rules(),
) -> tuple[House, FakeModel]:
    boss = FakeModel(spec("boss", window=window), *scripts)
    models = {name: FakeModel(spec(name), saying(said)) for name in ("a", "b")}
    return await open_house({**models, "boss": boss}, [["a", "b"]], rules=rules), boss


async def test_it_is_asked_once_more_with_less(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, "x" * 60_000, TOO_LONG, saying("it fits"))
    events = await house.carried()
    answer = succeeded(events).answer
    assert answer.text == "it fits"
    first, second = sizes(boss)
    assert second < 0.7 * first
    trimmed = [one.agent for one in answer.degradations if one.reason is DegradationReason.REFERENCES_TRIMMED]
    assert trimmed == ["boss", "boss"], "each reference that was cut is told once, however often it was cut"
    last = closed_layers(events)[-1]
    assert len(last.proposals[0].attempts) == 2
    assert ended(events).usage.calls == 4


async def test_a_prompt_far_below_the_window_is_cut_too(open_house: OpenHouse) -> None:
    """An endpoint's real window may be smaller than the operator says: the same prompt would fail again."""
    house, boss = await council(open_house, "x" * 3000, TOO_LONG, saying("it fits"), window=100_000)
    assert succeeded(await house.carried()).answer.text == "it fits"
    first, second = sizes(boss)
    assert second < 0.7 * first


async def test_a_prompt_near_the_window_is_cut_by_the_window_and_no_further(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, "x" * 2_300, TOO_LONG, saying("it fits"), window=5_000)
    await house.carried()
    first, second = (asked.prompt.tokens(boss.spec) / (5_000 - 100) for asked in boss.asked)
    assert 0.65 < first < 0.95
    assert 0.55 < second <= 0.6


async def test_it_is_not_asked_a_third_time(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, "x" * 60_000, TOO_LONG)
    answer = succeeded(await house.carried()).answer
    assert len(boss.asked) == 2
    assert DegradationReason.AGGREGATOR_FAILED in {one.reason for one in answer.degradations}
    assert all(before > after for before, after in pairwise(sizes(boss)))


async def test_it_is_not_asked_again_once_it_has_spoken(open_house: OpenHouse) -> None:
    broke_off = failing(ModelWindowExceeded("its window is full"), "half ")
    house, boss = await council(open_house, "x" * 60_000, broke_off)
    end = failed(await house.carried())
    assert (end.partial_text, len(boss.asked)) == ("half ", 1)


async def test_a_conversation_alone_is_never_cut(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), TOO_LONG)
    house = await open_house({"boss": boss}, [])
    end = failed(await house.carried("a long question"))
    assert dict(end.metadata)["cause"] == "MODEL_WINDOW_EXCEEDED"
    assert [failure.detail for failure in end.failures] == ["counted more than its window holds"]
    assert len(boss.asked) == 1


async def test_what_cannot_fit_is_not_even_sent(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss", window=200))
    house = await open_house({"boss": boss}, [])
    events = await house.carried("x" * 2000)
    assert isinstance(events[-1].fact, RunFailed)
    assert boss.asked == []
    assert any(isinstance(event.fact, AgentStarted) for event in events)
