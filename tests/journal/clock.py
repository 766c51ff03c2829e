"""A clock that moves when it is told to."""

from datetime import UTC, datetime, timedelta


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ahead = timedelta()
        """How far the clock on the wall was set forward; backward when it is below zero."""

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 5, tzinfo=UTC) + timedelta(seconds=self.seconds) + self.ahead

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
