"""Drives a client of either kind in the same words."""

# ruff: noqa: ANN401 - what it returns depends on the method it is told to call

import asyncio
import inspect
from typing import Any, TypeVar

from google.protobuf.message import Message

from moa import AsyncClient, Client
from moa.testing import FakeMoa

Request = TypeVar("Request", bound=Message)


def sent(fake: FakeMoa, kind: type[Request], place: int = -1) -> Request:
    """Return what a call asked, the last one's unless told otherwise."""
    request = fake.calls[place].request
    assert isinstance(request, kind)
    return request


class Either:
    """One client, and how to call it whichever it is."""

    def __init__(self, client: AsyncClient | Client) -> None:
        self.client = client

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        result = getattr(self.client, method)(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def aside(self, method: str, *args: Any, **options: Any) -> Any:
        """Call while the test goes on: what would block runs on a thread of its own."""
        result = await asyncio.to_thread(getattr(self.client, method), *args, **options)
        return await result if inspect.isawaitable(result) else result

    async def events(self, stream: Any) -> list[Any]:
        return [event async for event in stream] if hasattr(stream, "__aiter__") else list(stream)

    async def first(self, stream: Any) -> Any:
        return await anext(stream) if hasattr(stream, "__aiter__") else next(stream)

    async def answer(self, stream: Any) -> Any:
        answer = stream.answer()
        return await answer if inspect.isawaitable(answer) else answer

    async def close(self, stream: Any) -> None:
        await stream.aclose() if hasattr(stream, "aclose") else stream.close()
