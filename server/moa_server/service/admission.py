"""Lets calls in up to a limit, and tells the others when to come again."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from moa_server.domain.errors import Overloaded

_RETRY_S = (0.5, 1.5)
"""Spread, so that those who were sent away do not all come back together."""


class Admission:
    """The calls that are open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return self._open

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a call while it lasts.

        Raises:
            Overloaded: as many as may be are open already.
        """
        if self._open >= self._most:
            raise Overloaded(
                f"the server has {self._open} calls open, as many as it may",
                metadata={"limit": "open_calls"},
                retry_after_s=random.uniform(*_RETRY_S),  # noqa: S311 - spreads callers, guards nothing
            )
        self._open += 1
        self._emptied.clear()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._emptied.set()

    async def emptied(self) -> None:
        """Wait until no call is open."""
        await self._emptied.wait()
