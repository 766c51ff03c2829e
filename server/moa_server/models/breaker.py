"""Leaves an endpoint alone that keeps failing, and lets a single call try it before it is trusted again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

import structlog

from moa_server.domain import errors
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import BreakerRule
from moa_server.models.window import Window
from moa_server.models.wrapper import FirstToken, Wrapper, callers_own

_PROBE_HINT_S: Final = 1.0
"""What to wait while somebody else's probe is under way."""
_ENDPOINT_WELL: Final = (
    errors.ModelAnsweredNothing,
    errors.ModelRefused,
    errors.ModelRejectedRequest,
    errors.ModelWindowExceeded,
)
"""What went wrong is the request, or the model's own word."""

_logger = structlog.get_logger(__name__)


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """A probe is under way; no other call is let through."""


Watch = Callable[[str, BreakerState], None]
"""Told the model's name and the new state of its breaker."""


class Circuit:
    """The health of one model at one endpoint. It changes only when calls come and go, never by itself."""

    def __init__(self, name: str, rule: BreakerRule, watch: Watch) -> None:
        self._name = name
        self._rule = rule
        self._watch = watch
        self._window = Window(rule.window_s)
        self._open_until = 0.0
        self._probe: Pass | None = None
        self.state = BreakerState.CLOSED

    def check(self) -> None:
        """Do nothing if a call would be let through now.

        Raises:
            ModelBreakerOpen: it is open, or a probe is under way.
        """
        left = self._open_until - _now()
        if self.state is BreakerState.OPEN and left > 0:
            raise errors.ModelBreakerOpen(f"{self._name} failed too often and is left alone", retry_after_s=left)
        if self.state is BreakerState.HALF_OPEN:
            raise errors.ModelBreakerOpen(
                f"{self._name} is being tried after its failures", retry_after_s=_PROBE_HINT_S
            )

    def enter(self) -> "Pass":
        """Let a call through; the first after the break is the probe.

        Raises:
            ModelBreakerOpen: as ``check``.
        """
        self.check()
        entered = Pass(self)
        if self.state is BreakerState.OPEN:
            self._probe = entered
            self._turn(BreakerState.HALF_OPEN)
        return entered

    def count(self, *, failed: bool) -> None:
        """Note how a call ended that says something about the endpoint, and open if too many failed."""
        self._window.add(calls=1, marked=int(failed))
        calls, failures = self._window.counts()
        # While it is half open, only its probe decides: calls from before the break may still end badly.
        too_many = calls >= self._rule.least_calls and failures >= self._rule.share * calls
        if failed and too_many and self.state is BreakerState.CLOSED:
            self._open(_now() + self._rule.open_s)

    def settle(self, probe: "Pass", *, healthy: bool | None) -> None:
        """Draw the conclusion from a probe, if it is one; None means that it tells nothing and another is made."""
        if self._probe is not probe:
            return
        self._probe = None
        if healthy:
            self._window.clear()
            self._turn(BreakerState.CLOSED)
        else:
            # A probe that told nothing costs no further break: the time it was let in after is over already.
            self._open(_now() + self._rule.open_s if healthy is False else self._open_until)

    def _open(self, until: float) -> None:
        self._open_until = until
        self._turn(BreakerState.OPEN)

    def _turn(self, state: BreakerState) -> None:
        self.state = state
        _logger.info("breaker.turned", model=self._name, state=state.value)
        self._watch(self._name, state)


class Pass:
    """One call that was let through, and what it says of the endpoint."""

    __slots__ = ("_circuit",)

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit

    def begun(self) -> None:
        """The model speaks: proof enough for a probe, so that nobody has to wait for its end."""
        self._circuit.settle(self, healthy=True)

    def well(self) -> None:
        self._circuit.settle(self, healthy=True)
        self._circuit.count(failed=False)

    def failed(self) -> None:
        self._circuit.settle(self, healthy=False)
        self._circuit.count(failed=True)

    def answered(self) -> None:
        """The endpoint does its work, though this call was in vain."""
        self._circuit.settle(self, healthy=True)

    def over(self) -> None:
        """It has ended; if nothing was said by now, it tells nothing."""
        self._circuit.settle(self, healthy=None)


class Gate(Wrapper):
    """Stands before the queue of a model, so that nobody waits for an endpoint that is left alone."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        super().__init__(model)
        self._circuit = circuit

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._circuit.check()
        return await self._model.speak(prompt, terms)


class Breaker(Wrapper):
    """Stands behind the queue: what it lets through is called at once, and what becomes of it is noted."""

    def __init__(self, model: Model, circuit: Circuit) -> None:
        super().__init__(model)
        self._circuit = circuit

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        call = self._circuit.enter()
        try:
            reply = await self._model.speak(prompt, replace(terms, hear=FirstToken(terms.hear, call.begun)))
            call.well()
            return reply
        except _ENDPOINT_WELL:
            call.answered()
            raise
        except errors.ModelThrottled:
            # Neither failure nor proof: it lives, and we asked too much. A probe that meets it is made anew.
            raise
        except errors.ModelError as error:
            # Many endpoints close connections that were idle: that says nothing of how they do.
            if not error.stale and not callers_own(error, terms):
                call.failed()
            raise
        finally:
            call.over()


def _now() -> float:
    return asyncio.get_running_loop().time()
