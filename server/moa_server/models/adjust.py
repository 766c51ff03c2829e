"""Asks a model once more without what it refuses of a request, and leaves that out from then on.

Which models take which parameters changes with every generation of them. So no table says it: the first call of a model
finds out, and those after it are spared that, for an hour, since endpoints change too.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import LimitError, ModelError, RefusalReach
from moa_server.domain.model import AttemptKind, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.wrapper import Wrapper, left_s

_REMEMBERED_S: Final = 3600.0
_MOST_REMEMBERED: Final = 256
"""Callers may choose the settings, so that there can be any number of refused ones."""

_logger = structlog.get_logger(__name__)


class Adjust(Wrapper):
    """A model that is asked once more, as another attempt, for each parameter that its endpoint refuses."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._refused = _Refused(model.spec.name)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        # What the model's own section says may be refused as well.
        prompt = prompt.completed(self.spec)
        # What an earlier attempt of this call had found before it failed for another reason is not known for others.
        found = dict.fromkeys(prompt.left_out, RefusalReach.SETTINGS)
        refusal: ModelError | None = None
        while True:
            asked = replace(prompt, left_out=self._refused.of(prompt) | found.keys())
            try:
                reply = await self._model.speak(asked, terms)
            except LimitError as limit:
                if refusal is None:
                    raise
                raise refusal from limit
            except ModelError as error:
                # What its prompt may have said is found again, or a retry would have it kept for others.
                error.left_out = frozenset(name for name, reach in found.items() if reach is not RefusalReach.CALL)
                if error.parameter not in prompt.parameters - asked.left_out or left_s(terms) <= 0:
                    raise
                found[error.parameter] = error.reach
                refusal = refusal or error
            else:
                self._refused.keep(prompt.sampling, found)
                missing = asked.left_out & prompt.parameters - {"max_tokens"}
                return replace(reply, left_out=reply.left_out | missing)
            terms = replace(terms, kind=AttemptKind.ADJUSTED)


class _Refused:
    """What one model was found to refuse, and has answered without."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._until: OrderedDict[tuple[str, Sampling | None], float] = OrderedDict()
        """By the parameter, and the settings with which it is refused; None means any. The oldest first."""

    def of(self, prompt: Prompt) -> frozenset[str]:
        """Return what of a prompt is known to be refused."""
        now = asyncio.get_running_loop().time()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if not self._until:  # as for most models, always
            return frozenset()
        settings = _settings(prompt.sampling)
        return frozenset(name for name in prompt.parameters if {(name, None), (name, settings)} & self._until.keys())

    def keep(self, sampling: Sampling, found: Mapping[str, RefusalReach]) -> None:
        """Keep what an answer was given without."""
        for name, reach in found.items():
            key = name, None if reach is RefusalReach.MODEL else _settings(sampling)
            if reach is RefusalReach.CALL or key in self._until:
                continue
            self._until[key] = asyncio.get_running_loop().time() + _REMEMBERED_S
            if len(self._until) > _MOST_REMEMBERED:
                self._until.popitem(last=False)
            _logger.info("model.parameter_left_out", model=self._model, parameter=name, reach=reach.value)


def _settings(sampling: Sampling) -> Sampling:
    """Return settings without the limit on the output, which hangs on the prompt and explains no refusal."""
    return replace(sampling, max_tokens=None)
