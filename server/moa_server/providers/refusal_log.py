"""Tells the operator why a model is refused: a warning for each reason, at most one a minute."""

import asyncio

import structlog

from moa_server.domain.errors import ModelError
from moa_server.providers.log_throttle import LogThrottle

_logger = structlog.get_logger(__name__)


class RefusalLog:
    """The warnings of one model. They hold nothing that an endpoint wrote but its identifiers."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._throttle = LogThrottle(lambda: asyncio.get_running_loop().time())

    def note(self, error: ModelError) -> None:
        """Tell of a failure that is the operator's to mend; of any other there is nothing to tell."""
        if not error.is_operators:
            return
        reason = error.reason()
        withheld = self._throttle.due(reason)
        if withheld is not None:
            told = {"reason": reason, **error.metadata, **error.told, "withheld": withheld}
            _logger.warning("upstream.refused", model=self._model, **told)
