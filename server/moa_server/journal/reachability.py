"""Knows for how long a store has been reached without a break."""

import time
from collections.abc import Callable


class Reachability:
    """The store's reachability, as this server has seen it."""

    def __init__(self, settling_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the store for settled once it has answered for ``settling_s``, with no longer gap in between."""
        self._settling_s = settling_s
        self._monotonic = monotonic
        self._since: float | None = None
        self._last = float("-inf")

    def succeeded(self) -> None:
        """Note an answer of the store."""
        now = self._monotonic()
        if self._since is None or now - self._last > self._settling_s:
            self._since = now
        self._last = now

    def failed(self) -> None:
        """Note that the store did not answer."""
        self._since = None

    @property
    def is_settled(self) -> bool:
        """Whether the silence of an owner now tells of the owner, and not of the store."""
        now = self._monotonic()
        return (
            self._since is not None and now - self._last <= self._settling_s and now - self._since >= self._settling_s
        )
