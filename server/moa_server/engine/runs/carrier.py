"""Carries a plan to an answer: drives the strategy, one layer after the other, and ends the run."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry import trace

from moa_server.domain.answer import Answer
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import AnswerMismatch, DeadlineExceeded, ModelsUnusable, NoProposals
from moa_server.domain.event import DecisionMade, LayerClosed, LayerStarted, RunSucceeded
from moa_server.domain.model import FinishReason
from moa_server.domain.plan import PlannedLayer
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, Strategy
from moa_server.engine.records.history import History
from moa_server.engine.runs.answer_fallback import answer_layer, best_stand_in
from moa_server.engine.runs.layer import Given, OpenLayer
from moa_server.engine.runs.quorum import are_unusable, causes, check_layer, limit_of, quorum_of
from moa_server.engine.runs.response_schema import repair_request, structured
from moa_server.engine.runs.run_context import RunContext
from moa_server.telemetry import names

_LAST_WORD_S = 0.25
_LAST_WORD_SHARE = 0.05
"""The answering agent ends a little before the run does, so that a proposal can still stand in for it."""


@dataclass(slots=True)
class Carrier:
    """Carries one run out."""

    run: RunContext
    strategy: Strategy[Any]
    history: History
    index: int = 0
    """Of the layer that comes next."""
    decisions: int = 0
    failures: tuple[AgentFailure, ...] = ()
    """Of the layer that closed last."""
    failed_so_far: list[AgentFailure] = field(default_factory=list)
    """Of all layers."""
    withheld: str = ""
    """The text of an answer that was not shown, since it does not satisfy its schema."""
    degradations: list[Degradation] = field(default_factory=list)

    async def to_the_end(self) -> RunSucceeded:
        """Carry the run to its answer.

        Raises:
            RunError, LimitError: it cannot be.
        """
        try:
            answer = await self._held_to_schema(await self._answer())
        except NoProposals as error:
            # Of a rule that went on for as long as there was anybody to ask; of a layer, it is known already.
            if not are_unusable(self.failed_so_far):
                raise
            raise ModelsUnusable(error.detail, metadata={**error.metadata, **causes(self.failures)}) from error
        if not self.run.answer_text:
            self.run.write_answer(answer.text)  # nobody's stream was the answer
        if answer.finish_reason is FinishReason.LENGTH:
            cut = "the answer ends where its token limit cut it"
            self._degrade(Degradation(DegradationReason.ANSWER_TRUNCATED, cut))
        if answer.finish_reason is FinishReason.CONTENT_FILTER:
            cut = "the endpoint withheld a part of the answer"
            self._degrade(Degradation(DegradationReason.ANSWER_FILTERED, cut))
        all_of_them = (*self.run.plan.degradations, *answer.degradations, *self.degradations)
        return RunSucceeded(replace(answer, degradations=all_of_them), self.run.spending.spent)

    async def _answer(self) -> Answer:
        """Drive the rule: give it what its layers came to, until it returns the answer."""
        rule = self.strategy.run(self.run.plan)
        given: LayerResult | None = None
        while True:
            try:
                step = rule.send(given)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            given = None
            match step:
                case Layer():
                    given = await self._result_of(step)
                    if step.answers and not given.proposals and not step.hands_back(given):
                        # It has failed before its first word, and the best proposal may stand in for it.
                        best, failed = best_stand_in(step), step.calls[0].agent.name
                        detail = f"{failed} failed; the answer is {best.agent}'s"
                        self._degrade(Degradation(DegradationReason.AGGREGATOR_FAILED, detail))
                        return Answer.of(best)
                    if step.answers and given.proposals:
                        _tell_length(step, given.proposals[0])
                case Decision():
                    # A run that was taken over makes the same decisions again, and they are told already.
                    self.decisions += 1
                    if self.decisions > self.history.decisions:
                        self.run.tell(DecisionMade(step))
                case Degradation():
                    self._degrade(step)

    async def _held_to_schema(self, answer: Answer) -> Answer:
        """Return a structured answer as the JSON that satisfies its schema, repaired once if need be.

        Raises:
            AnswerMismatch: it does not, even then, or it could not be repaired.
        """
        plan = self.run.plan
        schema = plan.response_schema
        if schema is None:
            return answer
        try:
            return replace(answer, text=await structured(answer.text, schema))
        except AnswerMismatch as error:
            complaint, self.withheld = error, answer.text
        agent = next((agent for agent in plan.roster.agents() if agent.name == answer.agent), None)
        if agent is None:
            raise complaint
        asked = repair_request(plan.messages, answer.text, complaint, schema)
        call = Call(agent, messages=asked, response_schema=schema)
        result = await self._result_of(Layer((call,), excused=True))
        if not result.proposals:
            failure = result.failures[-1]
            raise limit_of(result.failures) or AnswerMismatch(
                f"{complaint.detail}; its repair failed: {failure.detail}",
                metadata={**complaint.metadata, "repair": failure.reason},
            )
        repaired = Answer.of(result.proposals[0], answer.judgement)
        self.withheld = repaired.text
        return replace(repaired, text=await structured(repaired.text, schema))

    async def _result_of(self, layer: Layer) -> LayerResult:
        """Return what a layer came to: as it is kept, where the run has it behind it, else by asking its agents."""
        index, self.index = self.index, self.index + 1
        closed = self.history.closed
        result = closed[index] if index < len(closed) else await self._carried_out(layer, index)
        self.degradations += result.degradations
        self.failures = result.failures
        self.failed_so_far += result.failures
        for degradation in check_layer(layer, result, self.run.plan.rules):
            self._degrade(degradation)
        return result

    async def _carried_out(self, layer: Layer, index: int) -> LayerResult:
        run, plan, rules = self.run, self.run.plan, self.run.plan.rules
        if run.deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded("no time was left for the next layer")
        if plan.budget.limits_use:
            # Where more than time is limited, no retry of this layer takes what those after it were planned to use.
            stages = self.strategy.outlined(plan.roster, self.strategy.read(plan.options), rules)
            run.spending.keep(run.bounds.to_come(plan, stages, index))
        agents = tuple(call.agent for call in layer.calls)
        quorum = quorum_of(layer, rules.quorum) or len(agents)
        run.tell(LayerStarted(PlannedLayer(index, agents, quorum, rules.grace_s, layer.answers)))
        # Proposals of the layer that was open when its owner was lost are not asked for again.
        history, given = self.history, Given()
        if index == len(history.closed):
            given = Given(history.given, history.degraded_so_far, history.asked_before)
        deadline = self._deadline(layer, index)
        if layer.answers:
            result, error = await answer_layer(run, layer, index, deadline, given)
            if error is not None:
                self.failures = result.failures
                raise error
        else:
            result = await OpenLayer(run, layer, index, deadline, given).result()
        run.tell(LayerClosed(result.summary()))
        await run.log.durable()  # before the next layer spends
        return result

    def _deadline(self, layer: Layer, index: int) -> float:
        """Return the moment by which a layer has to close, so that those after it have their share.

        Of what is left, a layer has its own share of the run over those of all that are to come: what one does not use
        goes to the others, and what all of them use up is never the answering agent's.
        """
        plan, now = self.run.plan, asyncio.get_running_loop().time()
        left = self.run.deadline - now
        ends = next((one.index for one in plan.layers[index:] if one.answers), len(plan.layers) - 1)
        if layer.answers or index >= ends:
            return self.run.deadline - min(_LAST_WORD_S, left * _LAST_WORD_SHARE)
        own = (1 - plan.rules.answer_share) / ends
        return now + left * own / (plan.rules.answer_share + own * (ends - index))

    def _degrade(self, degradation: Degradation) -> None:
        self.degradations.append(degradation)
        self.run.degrade(degradation)


def _tell_length(layer: Layer, answer: Proposal) -> None:
    """Tell the run's span how long an answer is beside what it was written from: mixtures tend to grow wordy."""
    read = [len(shown.text) for shown in layer.calls[0].shown]
    if sum(read):
        ratio = len(answer.text) * len(read) / sum(read)
        trace.get_current_span().set_attribute(names.LENGTH_RATIO, round(ratio, 3))
