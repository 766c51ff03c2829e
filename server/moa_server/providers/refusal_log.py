"""Tells the operator why a model is refused: a warning for each reason, at most one a minute."""

import asyncio
from typing import Final

import structlog

from moa_server.domain.errors import ModelError

_EVERY_S: Final = 60.0

_logger = structlog.get_logger(__name__)


class RefusalLog:
    """The warnings of one model. They hold nothing that an endpoint wrote but its identifiers."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._due: dict[str, float] = {}
        """By the reason of the error, the moment from which it is told again."""
        self._withheld: dict[str, int] = {}

    def note(self, error: ModelError) -> None:
        """Tell of a failure that is the operator's to mend; of any other there is nothing to tell."""
        if not error.is_operators:
            return
        reason, now = error.reason(), asyncio.get_running_loop().time()
        if now < self._due.get(reason, now):
            self._withheld[reason] = self._withheld.get(reason, 0) + 1
            return
        self._due[reason] = now + _EVERY_S
        told = {"reason": reason, **error.metadata, **error.told, "withheld": self._withheld.pop(reason, 0)}
        _logger.warning("upstream.refused", model=self._model, **told)
