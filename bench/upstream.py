"""Serves the scripted upstream as a process: prints its endpoint, then answers what it is asked about its calls.

A model's name says what it does: ``tokens-200-first-50-each-5`` speaks 200 tokens, the first after 50 ms, 5 ms apart;
any other name gives a short answer at once. With ``brown-`` before it, it goes bad when told to: of its calls 30 % fail
and 30 % take ten times as long; or it hangs, and says nothing at all.
"""

import asyncio
import json
import random
import re
from functools import lru_cache
from typing import Any, Final

import uvloop

from bench.replies import reply
from tests.upstream import Call, Request, Silence, Speech, Status, Upstream
from tests.upstream.stage import Player

_NAME: Final = re.compile(r"tokens-(\d+)-first-([\d.]+)-each-([\d.]+)")
_FAILURE: Final = Status(500, message="brown-out")
_FAILING, _SLOW = 0.3, 0.3


@lru_cache(maxsize=256)
def _speech(model: str, times: int = 1) -> Speech:
    match = _NAME.search(model)
    if match is None:
        return Speech("This is a short answer.")
    first_s, each_s = float(match[2]) / 1000, float(match[3]) / 1000
    return Speech(tokens=int(match[1]), first_token_s=times * first_s, token_s=times * each_s)


class _Voices:
    """What each model says."""

    def __init__(self) -> None:
        self._brown = False
        self._hangs = False
        self._random = random.Random(7)

    def of(self, request: Request) -> Player:
        if self._hangs and request.model.startswith("brown-"):
            return Silence()
        if not (self._brown and request.model.startswith("brown-")):
            return _speech(request.model)
        drawn = self._random.random()
        if drawn < _FAILING:
            return _FAILURE
        return _speech(request.model, 10 if drawn < _FAILING + _SLOW else 1)

    def brown(self) -> str:
        self._brown = True
        return "brown"

    def hang(self) -> str:
        self._hangs = True
        return "hang"

    def well(self) -> str:
        self._brown = self._hangs = False
        return "well"


def _told(call: Call) -> dict[str, Any]:
    question, _, _ = call.body["messages"][-1]["content"].partition("\n")
    return {
        "model": call.model,
        "question": question,  # as the caller asked it, without the references after it
        "opened": call.opened,
        "closed": call.closed,
        "aborted": call.aborted,
    }


def _ledger(upstream: Upstream) -> str:
    """Tell the calls since the last time, by the machine's monotonic clock."""
    told = json.dumps([_told(call) for call in upstream.calls])
    upstream.calls.clear()
    upstream.remembers = True
    return told


async def _serve() -> None:
    voices = _Voices()
    async with Upstream() as upstream:
        upstream.remembers = False
        upstream.script("*", voices.of)
        print(upstream.endpoint, flush=True)
        await reply(
            {
                "brown": voices.brown,
                "hang": voices.hang,
                "connections": lambda: str(upstream.open_connections),
                "open": lambda: str(len(upstream.open_calls)),
                "ledger": lambda: _ledger(upstream),
                "well": voices.well,
            }
        )


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve())
