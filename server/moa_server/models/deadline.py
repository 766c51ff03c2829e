"""Tells how much time a call has left, and shares it out among a model and those that stand in for it."""

import asyncio
from dataclasses import replace
from typing import Final

from moa_server.domain.errors import ModelError, ModelTimeout
from moa_server.domain.ports import CallTerms

SHORTEST_CALL_S: Final = 0.01
"""No endpoint answers within less; with less time left, nothing is begun."""


def left_s(terms: CallTerms) -> float:
    """Return the time in which something may still be begun; none is left if it is not above zero."""
    end = terms.deadline if terms.speak_by is None else min(terms.speak_by, terms.deadline)
    return end - SHORTEST_CALL_S - asyncio.get_running_loop().time()


def shared(terms: CallTerms, stand_ins: int) -> CallTerms:
    """Return the terms of a model for which so many others may still stand in.

    It has to begin to speak within its share of the time: what is left, divided by itself and those others. Whoever has
    begun has all the time there is, since nobody stands in for it any more; and so has the last. Retries, and the wait
    for a place, are part of a model's own share: a model is not hurried only to be asked again itself.
    """
    if not stand_ins:
        return replace(terms, speak_by=None)
    now = asyncio.get_running_loop().time()
    return replace(terms, speak_by=now + (terms.deadline - now) / (stand_ins + 1))


def callers_own(error: ModelError, terms: CallTerms) -> bool:
    """Tell whether a model was too slow only for its caller's deadline, which says nothing about its endpoint."""
    return isinstance(error, ModelTimeout) and left_s(terms) <= 0
