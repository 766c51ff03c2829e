"""Lets a process answer the lines it is told, until its starter is gone."""

import asyncio
import sys
from collections.abc import Callable, Mapping

Replies = Mapping[str, Callable[[], str]]


async def reply(replies: Replies) -> None:
    """Answer each line of stdin with a line; return at its end."""
    loop = asyncio.get_running_loop()
    while asked := await loop.run_in_executor(None, sys.stdin.readline):
        print(replies[asked.strip()](), flush=True)
