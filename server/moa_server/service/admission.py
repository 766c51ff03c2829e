"""Lets calls in: those whose caller is known, and no more at a time than the server can carry."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from moa_server.domain.errors import Overloaded
from moa_server.security import Callers, Evidence
from moa_server.service.call import RpcCall

_RETRY_S: Final = (0.5, 1.5)
"""Spread, so that those who were sent away do not all come back together."""
_NAMES: Final = ("peer_spiffe_id", "x509_subject_alternative_name", "x509_common_name")
"""Where a certificate's names are, the most telling first."""


class Admission:
    """The callers that may call, and the calls that are open."""

    def __init__(self, callers: Callers, *, most: int, certificates: bool = False) -> None:
        """Know ``callers``, and look at ``certificates`` where they have to bring verified ones.

        ``most`` is how many calls may be open at a time.
        """
        self._callers = callers
        self._certificates = certificates
        self._most = most
        self._open = 0
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return self._open

    def identify(self, call: RpcCall) -> None:
        """Note who makes a call.

        Raises:
            Unauthenticated: nobody that may.
        """
        shown = call.context.auth_context() if self._certificates else {}
        names = tuple(name.decode(errors="replace") for key in _NAMES for name in shown.get(key, ()))
        call.caller = self._callers.identify(Evidence(call.metadata().get("authorization"), names))

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
