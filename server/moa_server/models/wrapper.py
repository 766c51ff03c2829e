"""What the wrappers of a model share: the model inside, the time a call has left, whether it has begun to speak."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from moa_server.domain.errors import ModelError, ModelTimeout
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.ports import CallTerms, Model

SHORTEST_CALL_S: Final = 0.01
"""No endpoint answers within less; with less time left, nothing is begun."""


class Wrapper:
    """A model around another one, whose spec it has. Each kind adds its own ``speak``."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec


class FirstToken:
    """Hears a call in its caller's place: passes every piece on, and knows whether the first has come."""

    __slots__ = ("_begun", "_hear", "has_come")

    def __init__(self, hear: Callable[[str], None], begun: Callable[[], None] | None = None) -> None:
        """Pass on to ``hear``, and tell ``begun``, if there is one, before the first piece."""
        self.has_come = False
        self._hear = hear
        self._begun = begun

    def __call__(self, text: str) -> None:
        if not self.has_come:
            self.has_come = True
            if self._begun is not None:
                self._begun()
        self._hear(text)


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


def fitted(prompt: Prompt, spec: ModelSpec) -> Prompt | None:
    """Return the prompt with an answer no longer than the model gives; None if the model cannot take it."""
    if not spec.images and any(message.images for message in prompt.messages):
        return None
    most = min(prompt.most_output(spec), spec.max_output)
    if prompt.tokens(spec) + most > spec.window:
        return None
    return replace(prompt, sampling=replace(prompt.sampling, max_tokens=most))
