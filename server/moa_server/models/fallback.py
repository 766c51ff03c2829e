"""Asks other models in place of one that has failed for good, as long as it has not begun to speak."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from moa_server.domain import tokens
from moa_server.domain.errors import LimitError, ModelBreakerOpen, ModelError
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.circuit import Circuit
from moa_server.models.race import Race
from moa_server.models.wrapper import FirstToken, Wrapper, fitted, shared

_LONGEST_TRIAL_S: Final = 5.0
"""How long at the most an answer that is complete waits for what is learned beside it."""


class Fallback(Wrapper):
    """A model and those that stand in for it, in the operator's order; no others ever do.

    Who stood in is told by the account: its successful attempt bears the name of the model that served.
    """

    def __init__(self, model: Model, others: Sequence[Model], trial: "Trial | None" = None) -> None:
        super().__init__(model)
        self._others = tuple(others)
        self._trial = trial

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        able = [(other, suited) for other in self._others if (suited := fitted(prompt, other.spec)) is not None]
        if able and self._trial is not None and self._trial.is_due:
            left_alone = ModelBreakerOpen(f"{self.spec.name} is being tried after its failures")
            return await self._trial.beside(_StandIns(self.spec, able, left_alone), prompt, terms)
        first_token = FirstToken(terms.hear)
        terms = replace(terms, hear=first_token)
        try:
            return await self._model.speak(prompt, shared(terms, len(able)))
        except ModelError as error:
            if first_token.has_come:
                raise
            return await _StandIns(self.spec, able, error).speak(prompt, terms)


class _StandIns:
    """Those that stand in for a model, as one."""

    def __init__(self, spec: ModelSpec, able: Sequence[tuple[Model, Prompt]], failure: ModelError) -> None:
        self.spec = spec
        """Of the model they stand in for."""
        self._able = able
        self._failure = failure
        """Of that model, and theirs too when all of them fail."""

    async def speak(self, _prompt: Prompt, terms: CallTerms) -> Reply:
        first_token = FirstToken(terms.hear)
        terms = replace(terms, kind=AttemptKind.FALLBACK, hear=first_token)
        all_permanent = self._failure.permanent
        for after, (other, suited) in zip(range(len(self._able) - 1, -1, -1), self._able, strict=True):
            try:
                return await other.speak(suited, shared(terms, after))
            except (ModelError, LimitError) as error:
                if first_token.has_come:
                    raise
                all_permanent = all_permanent and isinstance(error, ModelError) and error.permanent
        # Somebody who may stand in the next time makes it worth to ask again.
        self._failure.permanent = all_permanent
        try:
            raise self._failure
        finally:
            del self._failure  # whose traceback leads here


class Trial:
    """Tries a model again that was left alone, beside those that stand in for it: nobody waits out its silence."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        """Try ``model``, whose every call is one attempt at the most."""
        self._model = model
        self._circuit = circuit

    @property
    def is_due(self) -> bool:
        """Whether the next call is to try the model."""
        return self._circuit.wants_probe

    async def beside(self, stand_ins: Model, prompt: Prompt, terms: CallTerms) -> Reply:
        """Ask both. Whoever speaks first is heard, and the model is left alone again unless it begins to speak too.

        Where the others are done before the model usually begins, it has until then; without that, one that is sound
        but slower than they are would never be trusted again.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Race(kept=1) as race:
            race.enter(stand_ins, prompt, terms)
            # The others come first where the budget has only one call left; it is theirs that was asked for.
            trial = race.enter(self._model, prompt, replace(terms, kind=AttemptKind.HEDGE, speak_by=None))
            reply = await race.result()
            size, reasons = tokens.of_messages(prompt.messages), prompt.reasons(self._model.spec)
            usual = min(self._circuit.usual_s(size, reasons=reasons), _LONGEST_TRIAL_S)
            await asyncio.wait({trial}, timeout=max(began + usual - loop.time(), 0.0))
            self._circuit.give_up_probe(trial)
            return reply
