"""Tells how much time a call has left, and shares it out among a model and those that stand in for it."""

import asyncio
from dataclasses import replace
from typing import Final

from moa_server.domain.errors import ModelError, ModelTimeout
from moa_server.domain.model import Errand

SHORTEST_CALL_S: Final = 0.01
"""No endpoint answers within less; with less time left, nothing is begun."""


def left_s(errand: Errand) -> float:
    """Return the time in which something may still be begun; none is left if it is not above zero."""
    end = errand.deadline if errand.speak_by is None else min(errand.speak_by, errand.deadline)
    return end - SHORTEST_CALL_S - asyncio.get_running_loop().time()


def shared(errand: Errand, stand_ins: int) -> Errand:
    """Return the errand of a model for which so many others may still stand in.

    It has to begin to speak within its share of the time: what is left, divided by itself and those others. Whoever has
    begun has all the time there is, since nobody stands in for it any more; and so has the last. Retries, and the wait
    for a place, are part of a model's own share: a model is not hurried only to be asked again itself.
    """
    if not stand_ins:
        return replace(errand, speak_by=None)
    now = asyncio.get_running_loop().time()
    return replace(errand, speak_by=now + (errand.deadline - now) / (stand_ins + 1))


def callers_own(error: ModelError, errand: Errand) -> bool:
    """Tell whether a model was too slow only for its caller's deadline, which says nothing about its endpoint."""
    return isinstance(error, ModelTimeout) and left_s(errand) <= 0
