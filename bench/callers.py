"""Asks as callers do, and takes the time."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from moa import AsyncClient


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller saw of one run."""

    first_s: float
    """To the first piece of the answer."""
    whole_s: float
    """To its end."""


async def ask(client: AsyncClient, question: str, mixture: str, *, timeout: float = 120.0) -> Told:
    """Ask and read to the end."""
    began = time.perf_counter()
    first = 0.0
    async with client.synthesize(question, mixture=mixture, timeout=timeout) as events:
        async for event in events:
            if not first and event.HasField("answer_delta"):
                first = time.perf_counter() - began
        whole = time.perf_counter() - began
        answer = await events.answer()
    assert answer.text, "an answer without text"
    return Told(first, whole)


async def ask_many(client: AsyncClient, mixture: str, runs: int, *, at_once: int) -> list[Told]:
    """Ask so many questions, never more than so many at once, and never fewer until the last."""
    questions = iter([f"run {number}" for number in range(runs)])
    told: list[Told] = []

    async def caller() -> None:
        told.extend([await ask(client, question, mixture) for question in questions])

    await together(caller() for _ in range(at_once))
    return told


async def together(callers: Iterable[object]) -> None:
    """Let all of them call at once."""
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller)  # type: ignore[arg-type]  # coroutines of any kind
