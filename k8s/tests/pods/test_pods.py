"""What callers see of pods that come and go."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import moa
from k8s.tests.pods.fleet import Fleet

WHOLE = "".join(f"word-{number} " for number in range(1, 21))
AGES = {"max_connection_age": 1, "max_connection_age_grace": 60}


async def ask_until(client: moa.AsyncClient, reached: Callable[[], bool]) -> None:
    """Ask one question after another until something has come about; the test's own limit ends it."""
    while not reached():
        await client.query("hello", mixture="quick")


async def stream(client: moa.AsyncClient) -> str:
    async with client.synthesize("hello", mixture="slow") as events:
        return (await events.answer()).text


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


async def test_a_roll_out_loses_none_of_sixty_streams(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models) as fleet:
        await fleet.start(fleet.pods)
        client = await fleet.caller()
        await ask_until(client, lambda: all(fleet.answered()))
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(stream(client)) for _ in range(20)]
            for pod in fleet.pods:
                await fleet.roll(pod)
                streams += [group.create_task(stream(client)) for _ in range(20 if pod is not fleet.pods[-1] else 0)]
        assert [task.result() for task in streams] == [WHOLE] * 60


async def test_a_pod_that_is_killed_loses_no_stream(tmp_path: Path, models: str) -> None:
    async with Fleet(tmp_path, models) as fleet:
        await fleet.start(fleet.pods)
        client = await fleet.caller()
        await ask_until(client, lambda: all(fleet.answered()))
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(stream(client)) for _ in range(30)]
            started = asyncio.gather(*streams)
            await asyncio.sleep(1)
            fleet.forget(fleet.pods[0])
            await fleet.pods[0].stop(signal.SIGKILL)
            await started
        assert [task.result() for task in streams] == [WHOLE] * 30
