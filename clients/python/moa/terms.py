"""Holds what every call of a client carries: a time limit, a token, a trace."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

try:
    from opentelemetry.propagate import inject
except ImportError:  # the extra `otel` is not installed

    def inject(carrier: dict[str, str]) -> None:  # type: ignore[misc]  # as much of it as is called
        """Hand nothing on."""


Token = str | Callable[[], str]
"""A bearer token, or what returns the current one: it is asked again for every call."""

DEFAULT_TIMEOUT = 600.0

Metadata = tuple[tuple[str, str | bytes], ...]


class CallTerms(TypedDict):
    """What gRPC is told beside the request."""

    timeout: float | None
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Terms:
    """What every call of a client carries."""

    token: Token | None = None
    """Who calls. Sent as metadata, because gRPC refuses call credentials on channels without TLS."""
    timeout: float | None = DEFAULT_TIMEOUT
    """Seconds a call may take when it says nothing itself. None means no limit."""

    def metadata(self) -> Metadata:
        """Return the metadata of the next call: the token, and the caller's W3C trace context where it has one."""
        carrier: dict[str, str] = {}
        inject(carrier)
        metadata = tuple((key.lower(), value) for key, value in carrier.items())  # gRPC refuses capitals in a key
        if self.token is None:
            return metadata
        token = self.token if isinstance(self.token, str) else self.token()
        return (("authorization", f"Bearer {token}"), *metadata)

    def of(self, timeout: float | None) -> CallTerms:
        """Return the terms of a call that asks for this time limit."""
        return {"timeout": self.limit(timeout), "metadata": self.metadata()}

    def limit(self, timeout: float | None) -> float | None:
        """Return the time limit of a call that asks for this one."""
        return self.timeout if timeout is None else timeout


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nobody waits."""

    at: float | None
    """By the monotonic clock. None means never."""
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """Return the moment that many seconds from now."""
        return cls(None if timeout is None else clock() + timeout, clock)

    def remaining(self) -> float | None:
        """Return the seconds left, never below zero."""
        return None if self.at is None else max(0.0, self.at - self.clock())


def token_file(path: str | Path) -> Callable[[], str]:
    """Return what reads a token from a file whenever it is needed, as a rotated one has to be."""
    return lambda: Path(path).read_text(encoding="utf-8").strip()
