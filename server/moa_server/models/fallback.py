"""Asks other models in place of one that has failed for good, as long as it has not begun to speak."""

from collections.abc import Sequence
from dataclasses import replace

from moa_server.domain.errors import LimitError, ModelError
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.deadline import shared
from moa_server.models.fitting import fitted
from moa_server.models.hearing import Ear


class Fallback:
    """A model and those that stand in for it, in the operator's order; no others ever do.

    Who stood in is told by the account: its successful attempt bears the name of the model that served.
    """

    def __init__(self, model: Model, others: Sequence[Model]) -> None:
        self._model = model
        self._others = tuple(others)

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        ear = Ear(terms.hear)
        terms = replace(terms, hear=ear)
        able = [(other, suited) for other in self._others if (suited := fitted(prompt, other.spec)) is not None]
        try:
            return await self._model.speak(prompt, shared(terms, len(able)))
        except ModelError as error:
            if ear.heard:
                raise
            failure = error
        terms = replace(terms, kind=AttemptKind.FALLBACK)
        for after, (other, suited) in zip(range(len(able) - 1, -1, -1), able, strict=True):
            try:
                return await other.speak(suited, shared(terms, after))
            except (ModelError, LimitError):
                if ear.heard:
                    raise
        raise failure
