"""Asks other models in place of one that has failed for good, as long as it has not begun to speak."""

from collections.abc import Sequence
from dataclasses import replace

from moa_server.domain.errors import LimitError, ModelError
from moa_server.domain.model import AttemptKind, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.wrapper import FirstToken, Wrapper, fitted, shared


class Fallback(Wrapper):
    """A model and those that stand in for it, in the operator's order; no others ever do.

    Who stood in is told by the account: its successful attempt bears the name of the model that served.
    """

    def __init__(self, model: Model, others: Sequence[Model]) -> None:
        super().__init__(model)
        self._others = tuple(others)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        first_token = FirstToken(terms.hear)
        terms = replace(terms, hear=first_token)
        able = [(other, suited) for other in self._others if (suited := fitted(prompt, other.spec)) is not None]
        try:
            return await self._model.speak(prompt, shared(terms, len(able)))
        except ModelError as error:
            if first_token.has_come:
                raise
            failure = error
        terms = replace(terms, kind=AttemptKind.FALLBACK)
        for after, (other, suited) in zip(range(len(able) - 1, -1, -1), able, strict=True):
            try:
                return await other.speak(suited, shared(terms, after))
            except (ModelError, LimitError):
                if first_token.has_come:
                    raise
        raise failure
