"""Carries a plan to an answer: drives the strategy, one layer after the other, and ends the run."""

import asyncio
from dataclasses import dataclass, field, replace

from opentelemetry import trace

from moa_server.domain.budget import Budget
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import DeadlineExceeded
from moa_server.domain.event import (
    DecisionMade,
    LayerClosed,
    LayerStarted,
    RunSucceeded,
)
from moa_server.domain.model import FinishReason
from moa_server.domain.plan import PlannedLayer
from moa_server.domain.proposal import AgentFailure, Answer, LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, Strategy
from moa_server.domain.usage import Usage
from moa_server.engine.plans.worst_case import to_come
from moa_server.engine.records.history import History
from moa_server.engine.runs.answer_fallback import StandIn, answer_layer
from moa_server.engine.runs.layer import OpenLayer, quorum_of
from moa_server.engine.runs.quorum import check_layer
from moa_server.engine.runs.response_schema import mismatch, repair_request
from moa_server.engine.runs.run_context import RunContext
from moa_server.telemetry import names

_LAST_WORD_S = 0.25
_LAST_WORD_SHARE = 0.05
"""The answering agent ends a little before the run does, so that a proposal can still stand in for it."""


@dataclass(slots=True)
class Carrier:
    """A run that is being carried out."""

    setting: RunContext
    strategy: Strategy
    history: History
    index: int = 0
    """Of the layer that comes next."""
    decisions: int = 0

    failures: tuple[AgentFailure, ...] = ()
    """Of the layer that closed last."""
    degradations: list[Degradation] = field(default_factory=list)

    async def to_the_end(self) -> RunSucceeded:
        """Carry the run to its answer.

        Raises:
            RunError, LimitError: it cannot be.
        """
        answer = await self._held_to_schema(await self._answer())
        if not self.setting.answer.text:
            self.setting.write_answer(answer.text)
        if answer.finish_reason is FinishReason.LENGTH:
            self._degrade(DegradationReason.ANSWER_TRUNCATED, "the answer ends where its token limit cut it")
        answer = replace(
            answer, degradations=(*self.setting.plan.degradations, *answer.degradations, *self.degradations)
        )
        return RunSucceeded(answer, self.setting.purse.spent)

    async def _answer(self) -> Answer:
        rule = self.strategy.run(self.setting.plan)
        given: LayerResult | None = None
        while True:
            try:
                step = rule.send(given)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            match step:
                case Layer():
                    given = await self._layer(step)
                    if step.answers and not given.proposals and not step.hands_back(given):
                        return self._best_of(step)
                    if step.answers and given.proposals:
                        _tell_length(step, given.proposals[0])
                case Decision():
                    given = None
                    self._decide(step)
                case Degradation():
                    given = None
                    self.degradations.append(step)

    async def _held_to_schema(self, answer: Answer) -> Answer:
        """Return a structured answer that satisfies its schema, repaired once if need be.

        Raises:
            AnswerMismatch: it does not, even then.
        """
        plan = self.setting.plan
        schema = plan.response_schema
        complaint = mismatch(answer.text, schema) if schema is not None else None
        if schema is None or complaint is None:
            return answer
        agent = next((agent for agent in plan.roster.agents() if agent.name == answer.agent), None)
        if agent is None:
            raise complaint
        asked = repair_request(plan.messages, answer.text, complaint, schema)
        result = await self._layer(Layer((Call(agent, messages=asked, response_schema=schema),)))
        repaired = Answer.of(result.proposals[0], answer.votes)
        still = mismatch(repaired.text, schema)
        if still is not None:
            raise still
        return repaired

    async def _layer(self, layer: Layer) -> LayerResult:
        index, self.index = self.index, self.index + 1
        result = self._replayed(index) or await self._opened(layer, index)
        self.degradations += result.degradations
        self.failures = result.failures
        self.degradations += check_layer(layer, result, self.setting.plan.rules)
        return result

    def _replayed(self, index: int) -> LayerResult | None:
        closed = self.history.closed
        return closed[index] if index < len(closed) else None

    async def _opened(self, layer: Layer, index: int) -> LayerResult:
        setting = self.setting
        if setting.deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded("no time was left for the next layer")
        setting.purse.keep(self._to_come(index))
        setting.tell(LayerStarted(self._planned(layer, index)))
        given = self.history.given if index == len(self.history.closed) else {}
        deadline = self._deadline(layer, index)
        if layer.answers:
            result, error = await answer_layer(setting, layer, index, deadline, given)
            if error is not None:
                self.failures = result.failures
                raise error
        else:
            result = await OpenLayer(setting, layer, index, deadline, given).result()
        setting.tell(LayerClosed(result))
        await setting.log.durable()
        return result

    def _deadline(self, layer: Layer, index: int) -> float:
        """Return the moment by which a layer has to close, so that those after it have their share.

        Of what is left, a layer has its own share of the run over those of all that are to come: what one does not use
        goes to the others, and what all of them use up is never the answering agent's.
        """
        plan, now = self.setting.plan, asyncio.get_running_loop().time()
        ends = next((one.index for one in plan.layers[index:] if one.answers), len(plan.layers) - 1)
        if layer.answers or index >= ends:
            return self.setting.deadline - min(_LAST_WORD_S, (self.setting.deadline - now) * _LAST_WORD_SHARE)
        own = (1 - plan.rules.answer_share) / ends
        return now + (self.setting.deadline - now) * own / (plan.rules.answer_share + own * (ends - index))

    def _to_come(self, index: int) -> Usage:
        plan, strategy = self.setting.plan, self.strategy
        if plan.budget == Budget(time_s=plan.budget.time_s):
            return Usage()
        stages = strategy.stages(plan.roster, strategy.read(plan.options), plan.rules)
        return to_come(plan, stages, index, self.setting.models)

    def _planned(self, layer: Layer, index: int) -> PlannedLayer:
        rules = self.setting.plan.rules
        agents = tuple(call.agent for call in layer.calls)
        return PlannedLayer(index, agents, quorum_of(layer, rules.quorum) or len(agents), rules.grace_s, layer.answers)

    def _best_of(self, layer: Layer) -> Answer:
        """Return the best proposal, since the answering agent has failed before its first word."""
        rung = StandIn.of(layer)
        self._degrade(DegradationReason.AGGREGATOR_FAILED, f"{rung.failed} failed; the answer is {rung.best.agent}'s")
        return Answer.of(rung.best)

    def _decide(self, decision: Decision) -> None:
        self.decisions += 1
        if self.decisions > self.history.decisions:
            self.setting.tell(DecisionMade(decision))

    def _degrade(self, reason: DegradationReason, detail: str) -> None:
        self.degradations.append(Degradation(reason, detail))


def _tell_length(layer: Layer, answer: Proposal) -> None:
    """Tell the run's span how long an answer is beside what it was written from: mixtures tend to grow wordy."""
    read = [len(shown.text) for shown in layer.calls[0].shown]
    if sum(read):
        ratio = len(answer.text) * len(read) / sum(read)
        trace.get_current_span().set_attribute(names.LENGTH_RATIO, round(ratio, 3))
