"""What callers see of pods that come and go."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import moa
from k8s.tests.pods.fleet import Fleet

WHOLE = "".join(f"word-{number} " for number in range(1, 41))
AGES = {"max_connection_age": 1, "max_connection_age_grace": 60}


async def ask_until(client: moa.AsyncClient, reached: Callable[[], bool]) -> None:
    """Ask one question after another until something has come about; the test's own limit ends it."""
    while not reached():
        await client.query("hello", mixture="quick")


class Stream:
    """One question whose answer takes four seconds, read as it comes."""

    def __init__(self, client: moa.AsyncClient) -> None:
        self.speaking = asyncio.Event()
        self.moved = False
        """Whether another server took the run over."""
        self._reading = asyncio.create_task(self._read(client))

    async def _read(self, client: moa.AsyncClient) -> str:
        async with client.synthesize("hello", mixture="slow") as events:
            async for event in events:
                if event.HasField("answer_delta"):
                    self.speaking.set()
                self.moved |= event.HasField("run_adopted")
            return (await events.answer()).text

    @property
    def text(self) -> str:
        """Return the answer, once it is whole."""
        return self._reading.result()

    async def lost(self) -> bool:
        """Return, at its end, whether it ended without an answer."""
        return isinstance((await asyncio.gather(self._reading, return_exceptions=True))[0], moa.MoaError)


async def test_calls_go_round_all_pods_behind_the_headless_name(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models) as fleet:
        await fleet.start(fleet.pods[:2])
        client = await fleet.caller()
        await ask_until(client, lambda: all(fleet.answered()[:2]))
        before = fleet.answered()
        for _ in range(20):
            await client.query("hello", mixture="quick")
        after = fleet.answered()
        assert [now - then for now, then in zip(after, before, strict=True)] == [10, 10, 0]


async def test_a_pod_that_joins_is_used_within_the_connections_age(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models, server=AGES) as fleet:
        await fleet.start(fleet.pods[:2])
        client = await fleet.caller()
        await ask_until(client, lambda: all(fleet.answered()[:2]))
        await fleet.start(fleet.pods[2:])
        await ask_until(client, lambda: fleet.answered()[2] > 0)


@pytest.mark.timeout(180)
async def test_a_roll_out_loses_none_of_sixty_streams(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models) as fleet:
        client = await fleet.caller()
        await fleet.start(fleet.pods)
        await ask_until(client, lambda: all(fleet.answered()))
        streams: list[Stream] = []
        for pod in fleet.pods:
            streams += [Stream(client) for _ in range(20)]
            await streams[-1].speaking.wait()
            await fleet.roll(pod)
        assert [await one.lost() for one in streams] == [False] * 60
        assert {one.text for one in streams} == {WHOLE}


async def killed(fleet: Fleet, number: int) -> list[Stream]:
    """Return streams of which a third lost its pod in the middle of the answer."""
    client = await fleet.caller()
    await fleet.start(fleet.pods)
    await ask_until(client, lambda: all(fleet.answered()))
    streams = [Stream(client) for _ in range(number)]
    await asyncio.gather(*(one.speaking.wait() for one in streams))
    fleet.forget(fleet.pods[0])
    await fleet.pods[0].stop(signal.SIGKILL)
    return streams


@pytest.mark.timeout(180)
async def test_a_pod_that_is_killed_loses_no_stream(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models) as fleet:
        streams = await killed(fleet, 30)
        assert [await one.lost() for one in streams] == [False] * 30
        assert {one.text for one in streams} == {WHOLE}
        assert any(one.moved for one in streams)


@pytest.mark.timeout(180)
async def test_without_a_shared_journal_the_streams_of_that_pod_are_lost(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models, journal="memory") as fleet:
        streams = await killed(fleet, 12)
        assert any([await one.lost() for one in streams])
