"""Tells how much time a call has left."""

import asyncio
from typing import Final

from moa_server.domain.errors import ModelError, ModelTimeout
from moa_server.domain.model import Errand

SHORTEST_CALL_S: Final = 0.01
"""No endpoint answers within less; with less time left, nothing is begun."""


def left_s(errand: Errand) -> float:
    """Return the time in which something may still be begun; none is left if it is not above zero."""
    return errand.deadline - SHORTEST_CALL_S - asyncio.get_running_loop().time()


def callers_own(error: ModelError, errand: Errand) -> bool:
    """Tell whether a model was too slow only for its caller's deadline, which says nothing about its endpoint."""
    return isinstance(error, ModelTimeout) and left_s(errand) <= 0
