"""One agent's turn in a layer: asks its model, and makes a value of whatever comes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from opentelemetry import trace
from structlog.contextvars import bind_contextvars

from moa_server.domain import errors
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import JournalUnavailable, MoaError, ModelError, ModelTimeout, ModelWindowExceeded
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.proposal import AgentFailure, Proposal
from moa_server.domain.strategy import Call
from moa_server.domain.usage import Certainty
from moa_server.engine.runs.references import show
from moa_server.engine.runs.run_context import RunContext
from moa_server.engine.runs.spending import TurnAccount
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
    spares_others: bool = False
    """Whether its calls must not take what the layers to come were planned to use, the first one neither."""


class Turn:
    """One agent, asked once."""

    def __init__(self, run: RunContext, call: Call, place: Place, hear: Callable[[str], None], gather_s: float) -> None:
        self._run = run
        self._call = call
        self._place = place
        self._hear = hear
        self._gather_s = gather_s
        writer = run.server.writer
        self._account = TurnAccount(
            run.spending,
            run.bounds,
            run.server.clock,
            place.deadline,
            lambda: writer.may_spend,
            spares_others=place.spares_others,
        )
        self._has_spoken = False
        self._sent = 0
        """Estimated tokens of the last prompt."""
        self._in_doubt = False
        """Whether it waits to know that no other server has the run."""
        self.degradations: list[Degradation] = []

    async def take(self) -> Outcome:
        """Ask the agent. Failing is an outcome; only a cancellation is raised."""
        agent = self._call.agent
        bind_contextvars(layer=self._place.layer, agent=agent.name)
        attributes: dict[str, str | int] = {
            names.OPERATION_NAME: names.INVOKE_AGENT,
            names.AGENT_NAME: agent.name,
            names.MODEL: agent.model,
            names.LAYER_INDEX: self._place.layer,
            names.AGENT_POSITION: self._place.position,
        }
        with _tracer.start_as_current_span(names.agent_span(agent.name), attributes=attributes) as span:
            try:
                async with asyncio.timeout_at(self._place.deadline):
                    outcome: Outcome = self._proposal(await self._reply())
            except TimeoutError:
                in_doubt = "the ownership of the run was in doubt until there was no time for a call"
                still_speaking = f"{agent.name} was still speaking at its deadline"
                late = JournalUnavailable(in_doubt) if self._in_doubt else ModelTimeout(still_speaking)
                outcome = self.failure(late)
            except MoaError as error:
                outcome = self.failure(error)
            if isinstance(outcome, AgentFailure):
                span.set_attribute(names.ERROR_TYPE, outcome.reason)
            return outcome

    def cut(self) -> AgentFailure:
        """Return the failure of an agent whose layer has closed without it."""
        return self.failure(errors.StragglerCut(f"the layer closed before {self._call.agent.name} had finished"))

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
            isinstance(error, ModelError) and error.permanent,
        )

    async def _reply(self) -> Reply:
        """Ask once no other server can have claimed the run, and once more where the prompt was too long after all."""
        model = self._run.models.get(self._call.agent.model)
        if model is None:
            raise errors.ModelUnknown(f"model {self._call.agent.model} is not configured on this server")
        writer, room, is_tight = self._run.server.writer, self._room(model), False
        while True:
            # While the journal is out another server may have the run: nothing is paid for twice.
            self._in_doubt = True
            if self._run.plan.budget.limits_use:
                # A call that the journal does not know of is not counted by the next owner, who would spend it again.
                await writer.until_known(self._run.log)
            await writer.until_it_may_spend()
            self._in_doubt = False
            try:
                return await self._ask(model, room)
            except JournalUnavailable:
                if self._has_spoken or writer.may_spend:
                    raise
            except ModelWindowExceeded:
                if is_tight or self._has_spoken or not self._account.attempts or not self._call.shown:
                    raise
                self.degradations.clear()
                room, is_tight = int((room if self._sent > room * _TIGHTER else self._sent) * _TIGHTER), True

    async def _ask(self, model: Model, room: int) -> Reply:
        call, run = self._call, self._run
        shown = show(call, run.plan.messages, model.spec, room)
        for agent in shown.trimmed:
            self._degrade(DegradationReason.REFERENCES_TRIMMED, f"what {agent} proposed was shortened to fit")
        sampling = replace(call.agent.sampling, max_tokens=self._max_output(model))
        prompt = Prompt(shown.messages, sampling, call.response_schema, call.logprobs)
        self._sent = prompt.tokens(model.spec)
        terms = CallTerms(
            self._listen, self._account, self._place.deadline, gather_s=self._gather_s, run_id=run.log.run_id
        )
        reply = await model.speak(prompt, terms)
        # What a stand-in counted says nothing of the model that was asked for.
        if reply.usage.certainty is Certainty.KNOWN and self._served_by() == model.spec.name:
            run.server.estimates.learn(model.spec.name, self._sent, reply.usage.input_tokens)
        return reply

    def _listen(self, piece: str) -> None:
        self._has_spoken = True
        self._hear(piece)

    def _max_output(self, model: Model) -> int:
        return model.spec.most_output(self._call.agent.sampling)

    def _room(self, model: Model) -> int:
        """Return how many estimated tokens of this model's window a prompt may take."""
        return self._run.server.estimates.room(model.spec, self._max_output(model))

    def _proposal(self, reply: Reply) -> Proposal:
        agent, served = self._call.agent, self._served_by()
        if served != agent.model:
            self._degrade(DegradationReason.FALLBACK_SERVED, f"{served} served in place of {agent.model}")
        for name in sorted(reply.left_out):
            detail = f"{name} was not sent to {served}, which does not take it"
            self._degrade(DegradationReason.PARAMETER_DROPPED, detail)
        if self._call.logprobs and reply.mean_logprob is None:
            detail = f"{served} gave no log-probabilities, by which {agent.name} was to be judged"
            self._degrade(DegradationReason.SIGNAL_MISSING, detail)
        return Proposal(
            agent.name,
            self._place.position,
            agent.model,
            served,
            reply.text,
            reply.finish_reason,
            tuple(self._account.attempts),
            self._account.usage,
            agent.weight,
            reply.mean_logprob,
        )

    def _served_by(self) -> str:
        served = [attempt.model for attempt in self._account.attempts if not attempt.failure]
        return served[-1] if served else self._call.agent.model

    def _degrade(self, reason: DegradationReason, detail: str) -> None:
        self.degradations.append(Degradation(reason, detail, self._place.layer, self._call.agent.name))
