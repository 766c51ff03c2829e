"""Writes a stream to its caller, who may read slowly, but not for ever not at all."""

import asyncio
from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from moa_server.domain.errors import Overloaded
from moa_server.service.call import Context


async def write_all(messages: AsyncGenerator[Message, None], context: Context, longest_s: float) -> None:
    """Write every message; what has been written and not been read waits with the transport, up to some MiB.

    Raises:
        Overloaded: the caller did not read for the longest time.
    """
    async for message in messages:
        try:
            async with asyncio.timeout(longest_s):
                await context.write(message.SerializeToString())
        except TimeoutError:
            raise Overloaded(
                f"the stream was not read for {longest_s:g} s; resume it after the last event",
                metadata={"limit": "unread_stream"},
            ) from None
