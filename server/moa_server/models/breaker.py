"""Leaves an endpoint alone that keeps failing, and lets a single call try it before it is trusted again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from moa_server.domain import errors, tokens
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.circuit import Circuit, Pass
from moa_server.models.wrapper import Wrapper, callers_own

_ENDPOINT_WELL: Final = (
    errors.ModelAnsweredNothing,
    errors.ModelAnswerTooLong,
    errors.ModelOnlyReasoned,
    errors.ModelRefused,
    errors.ModelRejectedRequest,
    errors.ModelWindowExceeded,
)
"""What went wrong is the request, or the model's own word."""


class Gate(Wrapper):
    """Stands before the queue of a model, so that nobody waits for an endpoint that is left alone."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        super().__init__(model)
        self._circuit = circuit

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._circuit.check()
        return await self._model.speak(prompt, terms)


class Breaker(Wrapper):
    """Stands behind the queue: what it lets through is called at once, and what becomes of it is noted.

    A call for which others may stand in, and a probe, is ended when it has been silent for well beyond the pace.
    """

    def __init__(self, model: Model, circuit: Circuit) -> None:
        super().__init__(model)
        self._circuit = circuit

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        size = tokens.of_messages(prompt.messages)
        reasons = prompt.reasons(self.spec)
        call = self._circuit.enter(size, reasons=reasons, has_stand_ins=terms.speak_by is not None)
        watched = replace(terms, hear=_Heard(terms.hear, call), alive=call.alive, why_cut=lambda: call.late)
        try:
            async with asyncio.timeout(None) as call.scope:
                reply = await self._model.speak(prompt, watched)
            call.well()
            return reply
        except TimeoutError:
            if call.late is None:
                raise
            call.left(for_another=True)
            raise call.late from None
        except _ENDPOINT_WELL:
            call.answered()
            raise
        except errors.ModelThrottled:
            # Neither failure nor proof: it lives, and we asked too much. A probe that meets it is made anew.
            raise
        except asyncio.CancelledError:
            call.left(for_another=False)
            raise
        except errors.ModelError as error:
            if callers_own(error, terms):
                call.left(for_another=terms.speak_by is not None)
            elif not error.stale:  # many endpoints close connections that were idle: that says nothing of how they do
                call.failed(timed_out=isinstance(error, errors.ModelTimeout))
            raise
        finally:
            call.over()


class _Heard:
    """Hears a call in its caller's place, for its breaker too."""

    __slots__ = ("_call", "_has_begun", "_hear")

    def __init__(self, hear: Callable[[str], None], call: Pass) -> None:
        self._hear = hear
        self._call = call
        self._has_begun = False

    def __call__(self, text: str) -> None:
        if self._has_begun:
            self._call.alive()
        else:
            self._has_begun = True
            self._call.begun()
        self._hear(text)
