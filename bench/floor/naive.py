"""What one would write first: httpx as it comes, its lines, and a message for every token."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from bench.floor.serving import Messages, Peer, arguments, body_of, serve


class Naive(Peer):
    """Passes on every token by itself."""

    def __init__(self, http: httpx.AsyncClient, endpoint: str, panels: dict[str, Any]) -> None:
        super().__init__(endpoint, panels)
        self._http = http

    async def speak(self, model: str, messages: Messages) -> AsyncIterator[str]:
        async with self._http.stream("POST", self.url, json=body_of(model, messages)) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    for choice in json.loads(line.removeprefix("data: "))["choices"]:
                        if text := choice["delta"].get("content"):
                            yield text


async def _main() -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60.0) as http:
        await serve(Naive(http, *arguments()))


if __name__ == "__main__":
    asyncio.run(_main())
