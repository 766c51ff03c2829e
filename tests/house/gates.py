"""Lets a test say when the scripted upstream goes on."""

import asyncio
from concurrent.futures import Future
from typing import Any

from tests.upstream import Speech, Stage


class Gate:
    """Closed until a test opens it, from any thread."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()

    def open(self) -> None:
        self._opened.set_result(None)

    async def passed(self) -> None:
        # Shielded: a caller that goes away while it waits takes nobody else along.
        await asyncio.shield(asyncio.wrap_future(self._opened))


def held(text: str, gate: Gate, after: int = 0) -> Any:  # noqa: ANN401 - a script
    """An answer that says so many of its words, and the others once the gate is open."""
    speech = Speech(text)

    async def play(stage: Stage) -> None:
        await speech.recite(stage, after)
        await gate.passed()
        for piece in speech.pieces()[after:]:
            stage.call.tokens_sent += 1
            stage.send(stage.events.piece(piece))
        speech.close(stage)
        stage.end()

    return play
