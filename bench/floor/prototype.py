"""A bare handler on a transport of its own, with pieces gathered, and no features."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import msgspec
import uvloop

from bench.floor.serving import Messages, Peer, arguments, body_of, serve
from bench.floor.transport import READING, Reading, Transport

_GATHER_S: Final = 0.02


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_chunks = msgspec.json.Decoder(_Chunk)


class Prototype(Peer):
    """Reads a body's pieces as the house does: the first at once, then what has come in a while together."""

    def __init__(self, http: Transport, endpoint: str, panels: dict[str, Any]) -> None:
        super().__init__(endpoint, panels)
        self._http = http
        self._url = httpx.URL(self.url)

    async def speak(self, model: str, messages: Messages) -> AsyncIterator[str]:
        reading = Reading()
        request = httpx.Request("POST", self._url, content=msgspec.json.encode(body_of(model, messages)))
        request.extensions[READING] = reading
        response = await self._http.handle_async_request(request)
        tail = b""
        async for piece in aiter(response.stream):  # type: ignore[arg-type]  # an asynchronous one
            *events, tail = (tail + piece).split(b"\n\n")
            reading.complete = bool(events) and events[-1] == b"data: [DONE]"
            if text := "".join(map(_text, events)):
                reading.gather_s = _GATHER_S
                yield text
        await response.aclose()


def _text(event: bytes) -> str:
    if event == b"data: [DONE]":
        return ""
    return "".join(choice.delta.content for choice in _chunks.decode(event[6:]).choices)


async def _main() -> None:
    async with Transport() as http:
        await serve(Prototype(http, *arguments()))


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_main())
