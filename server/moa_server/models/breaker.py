"""Leaves an endpoint alone while its circuit is open: at the door of the queue, and again behind it."""

from dataclasses import replace
from typing import Final

from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelError,
    ModelRefused,
    ModelRejectedRequest,
    ModelThrottled,
    ModelWindowExceeded,
)
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.circuit import Circuit
from moa_server.models.deadline import callers_own
from moa_server.models.hearing import Ear

_ENDPOINT_WELL: Final = (ModelAnsweredNothing, ModelRefused, ModelRejectedRequest, ModelWindowExceeded)
"""What went wrong is the request, or the model's own word."""


class Gate:
    """Stands before the queue of a model, so that nobody waits for an endpoint that is left alone."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        self._model = model
        self._circuit = circuit

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._circuit.check()
        return await self._model.speak(prompt, terms)


class Breaker:
    """Stands behind the queue: what it lets through is called at once, and what becomes of it is noted."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        self._model = model
        self._circuit = circuit

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        call = self._circuit.enter()
        try:
            reply = await self._model.speak(prompt, replace(terms, hear=Ear(terms.hear, call.begun)))
            call.well()
            return reply
        except _ENDPOINT_WELL:
            call.answered()
            raise
        except ModelThrottled:
            raise
        except ModelError as error:
            if not callers_own(error, terms):
                call.failed()
            raise
        finally:
            call.over()
