"""Finds the agents whose model cannot hold what their mixture shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Roster
from moa_server.domain.model import ModelSpec
from moa_server.domain.strategy import OutlinedLayer
from moa_server.settings.findings import Findings
from moa_server.settings.problem import Place

LEAST_CONVERSATION = 64
"""Tokens that a caller can count on for its own words."""
LEAST_REFERENCE = 64
"""Tokens of a reference and of its fence, below which it says too little."""
FRAME = 240
"""Tokens of what an agent is told about references, in the longest form."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The models, and the limits of a plan."""

    models: Mapping[str, ModelSpec]
    limits: Limits

    def check(self, place: Place, stages: tuple[OutlinedLayer, ...], findings: Findings) -> None:
        """Note every agent whose model cannot hold the worst case, and every layer beyond the limits."""
        if len(stages) > self.limits.layers:
            wrong = f"can come to {len(stages)} layers"
            findings.add(place, f"{wrong}; use fewer, or raise limits.layers above {self.limits.layers}")
        for index, stage in enumerate(stages):
            self._check_width(place, index, stage, findings)
            if stage.folds:
                continue  # it is shown less than the layer whose references did not fit
            before = stages[max(index - stage.looks_back, 0) : index]
            shown = sum(len(earlier.agents[: earlier.most]) for earlier in before)
            for agent in dict.fromkeys(stage.agents):
                self._check_agent(place, index, agent, shown, findings)

    def check_prices(self, place: Place, roster: Roster, findings: Findings) -> None:
        """Note every model without a price, for a mixture that may only cost so much."""
        unpriced = dict.fromkeys(agent.model for agent in roster.agents() if self.models[agent.model].price is None)
        for model in unpriced:
            wrong = f"cannot be kept while model {model!r} has no price"
            findings.add(place, f"{wrong}; give models.{model}.price or limit calls and tokens instead")

    def _check_width(self, place: Place, index: int, stage: OutlinedLayer, findings: Findings) -> None:
        most = self.limits.agents_per_layer
        count = len(stage.agents[: stage.most])
        if count > most:
            wrong = f"layer {index} can come to {count} agents"
            findings.add(place, f"{wrong}; use fewer, or raise limits.agents_per_layer above {most}")

    def _check_agent(self, place: Place, index: int, agent: Agent, shown: int, findings: Findings) -> None:
        spec = self.models[agent.model]
        output = agent.sampling.max_tokens or spec.max_output
        told = tokens.of_text(agent.instructions) + tokens.TOKENS_PER_MESSAGE
        references = FRAME + LEAST_REFERENCE * shown if shown else 0
        needed = output + told + LEAST_CONVERSATION + references
        if needed <= spec.window:
            return
        wrong = (
            f"agent {agent.name!r} in layer {index} needs {needed} tokens of model {spec.name!r}, whose window is "
            f"{spec.window}: {output} to answer, {told} of instructions, {LEAST_CONVERSATION} of conversation, "
            f"{references} for {shown} references"
        )
        right = "lower its max_tokens, show it fewer agents, or give it a model with a larger window"
        findings.add(place, f"{wrong}; {right}")
