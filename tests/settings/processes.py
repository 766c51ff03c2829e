"""Waits for what processes do, and for their end."""

import asyncio
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]  # has no stubs


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    """Wait until a process is no more, whether or not its end was asked for."""
    await settled(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
