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
from moa_server.domain.model import Errand, Model, ModelSpec, Prompt, Utterance
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

    async def speak(self, prompt: Prompt, errand: Errand) -> Utterance:
        self._circuit.check()
        return await self._model.speak(prompt, errand)


class Breaker:
    """Stands behind the queue: what it lets through is called at once, and what becomes of it is noted."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        self._model = model
        self._circuit = circuit

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def speak(self, prompt: Prompt, errand: Errand) -> Utterance:
        call = self._circuit.enter()
        try:
            utterance = await self._model.speak(prompt, replace(errand, hear=Ear(errand.hear, call.begun)))
            call.well()
            return utterance
        except _ENDPOINT_WELL:
            call.answered()
            raise
        except ModelThrottled:
            raise
        except ModelError as error:
            if not callers_own(error, errand):
                call.failed()
            raise
        finally:
            call.over()
