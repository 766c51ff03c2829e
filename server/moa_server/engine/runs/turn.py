"""One agent's turn in a layer: asks its model, and makes a value of whatever comes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from opentelemetry import trace
from structlog.contextvars import bind_contextvars

from moa_server.domain import tokens
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import (
    JournalUnavailable,
    MoaError,
    ModelTimeout,
    ModelUnknown,
    ModelWindowExceeded,
    StragglerCut,
)
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.proposal import AgentFailure, Proposal
from moa_server.domain.strategy import Call
from moa_server.domain.usage import Certainty
from moa_server.engine.runs.account import TurnAccount
from moa_server.engine.runs.references import show
from moa_server.engine.runs.run_context import RunContext
from moa_server.telemetry import names

_tracer = trace.get_tracer("moa_server.engine")

_TIGHTER = 0.6
"""What is left of the room when an endpoint counts more tokens than were estimated."""

Outcome = Proposal | AgentFailure


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run a turn is taken."""

    layer: int
    position: int
    deadline: float
    """By asyncio's clock."""


class Turn:
    """One agent, asked once."""

    def __init__(
        self, setting: RunContext, call: Call, place: Place, hear: Callable[[str], None], gather_s: float
    ) -> None:
        self._setting = setting
        self._call = call
        self._place = place
        self._hear = hear
        self._gather_s = gather_s
        self._account = TurnAccount(setting.purse, setting.clock, place.deadline, setting.may_spend)
        self._heard = False
        self._sent = 0
        self._in_doubt = False
        self.degradations: list[Degradation] = []

    async def take(self) -> Outcome:
        """Ask the agent. Failing is an outcome; only a cancellation is raised."""
        bind_contextvars(layer=self._place.layer, agent=self._call.agent.name)
        with _tracer.start_as_current_span(
            names.agent_span(self._call.agent.name), attributes=self._attributes()
        ) as span:
            try:
                async with asyncio.timeout_at(self._place.deadline):
                    outcome: Outcome = self._proposal(await self._speak_when_sure())
            except TimeoutError:
                outcome = self.failure(self._too_late())
            except MoaError as error:
                outcome = self.failure(error)
            if isinstance(outcome, AgentFailure):
                span.set_attribute(names.ERROR_TYPE, outcome.reason)
            return outcome

    def cut(self) -> AgentFailure:
        """Return the failure of an agent whose layer has closed without it."""
        return self.failure(StragglerCut(f"the layer closed before {self._call.agent.name} had finished"))

    def failure(self, error: MoaError) -> AgentFailure:
        """Return an error as this agent's failure."""
        return AgentFailure(
            self._call.agent.name,
            self._place.position,
            self._call.agent.model,
            error.reason(),
            error.detail,
            tuple(self._account.attempts),
            self._account.usage,
        )

    def _too_late(self) -> MoaError:
        if self._in_doubt:
            return JournalUnavailable("the ownership of the run was in doubt until there was no time for a call")
        return ModelTimeout(f"{self._call.agent.name} was still speaking at its deadline")

    async def _speak_when_sure(self) -> Reply:
        """Ask once no other server can have claimed the run: while the journal is out, nothing is paid for twice."""
        while True:
            self._in_doubt = True
            await self._setting.until_it_may()
            self._in_doubt = False
            try:
                return await self._speak()
            except JournalUnavailable:
                if self._heard or self._setting.may_spend():
                    raise

    async def _speak(self) -> Reply:
        model = self._setting.models.get(self._call.agent.model)
        if model is None:
            raise ModelUnknown(f"model {self._call.agent.model} is not configured on this server")
        room = self._room(model)
        try:
            return await self._ask(model, room)
        except ModelWindowExceeded:
            if self._heard or not self._account.attempts or not self._call.shown:
                raise
            self.degradations.clear()
            return await self._ask(model, int((room if self._sent > room * _TIGHTER else self._sent) * _TIGHTER))

    async def _ask(self, model: Model, room: int) -> Reply:
        shown = show(self._call, self._setting.plan.messages, model.spec, room)
        for agent in shown.trimmed:
            self._degrade(DegradationReason.REFERENCES_TRIMMED, f"what {agent} proposed was shortened to fit")
        sampling = replace(self._call.agent.sampling, max_tokens=self._max_output(model))
        self._sent = tokens.of_messages(shown.messages)
        prompt = Prompt(shown.messages, sampling, self._call.response_schema, self._call.logprobs)
        terms = CallTerms(
            self._listen, self._account, self._place.deadline, gather_s=self._gather_s, run_id=self._setting.run_id
        )
        reply = await model.speak(prompt, terms)
        self._learn(model, reply)
        return reply

    def _listen(self, piece: str) -> None:
        self._heard = True
        self._hear(piece)

    def _max_output(self, model: Model) -> int:
        return self._call.agent.sampling.max_tokens or model.spec.max_output

    def _room(self, model: Model) -> int:
        """Return how many estimated tokens of this model's window a prompt may take."""
        whole = max(model.spec.window - self._max_output(model), 0)
        return whole * whole // max(self._setting.estimates.corrected(model.spec.name, whole), 1)

    def _learn(self, model: Model, reply: Reply) -> None:
        if reply.usage.certainty is Certainty.KNOWN and self._served_by() == model.spec.name:
            self._setting.estimates.learn(model.spec.name, self._sent, reply.usage.input_tokens)

    def _proposal(self, reply: Reply) -> Proposal:
        served = self._served_by()
        if served != self._call.agent.model:
            self._degrade(DegradationReason.FALLBACK_SERVED, f"{served} served in place of {self._call.agent.model}")
        return Proposal(
            self._call.agent.name,
            self._place.position,
            self._call.agent.model,
            served,
            reply.text,
            reply.finish_reason,
            tuple(self._account.attempts),
            self._account.usage,
            self._call.agent.weight,
            reply.mean_logprob,
        )

    def _served_by(self) -> str:
        served = [attempt.model for attempt in self._account.attempts if not attempt.failure]
        return served[-1] if served else self._call.agent.model

    def _degrade(self, reason: DegradationReason, detail: str) -> None:
        self.degradations.append(Degradation(reason, detail, self._place.layer, self._call.agent.name))

    def _attributes(self) -> dict[str, str | int]:
        return {
            names.OPERATION_NAME: names.INVOKE_AGENT,
            names.AGENT_NAME: self._call.agent.name,
            names.MODEL: self._call.agent.model,
            names.LAYER_INDEX: self._place.layer,
            names.AGENT_POSITION: self._place.position,
        }
