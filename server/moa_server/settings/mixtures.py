"""Makes the domain's mixtures of the file's, and finds those that cannot be carried out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.model import ModelSpec
from moa_server.domain.strategy import TOLD_OF_REFERENCE, OutlinedLayer, Strategy
from moa_server.settings.file import MixtureSection, RepeatSection
from moa_server.settings.problem import Place, Problems
from moa_server.settings.validation import read_section

LEAST_CONVERSATION = 64
"""Tokens that a caller can count on for its own words."""
LEAST_REFERENCE = TOLD_OF_REFERENCE + 24
"""Tokens of a reference and of what stands around it, below which it says too little."""
_MOST_LAYERS = 64


class Mixtures:
    """Makes mixtures, given the agents and strategies there are."""

    def __init__(self, strategies: Mapping[str, Strategy[Any]], agents: Mapping[str, Agent], fit: "Fit") -> None:
        self._strategies = strategies
        # An agent whose model was refused has no window to check.
        self._agents = {name: agent for name, agent in agents.items() if agent.model in fit.models}
        self._fit = fit
        self._problems = fit.problems

    def mixture(self, name: str, section: MixtureSection) -> Mixture:
        """Return one mixture; what is wrong with it is noted."""
        place: Place = ("mixtures", name)
        roster = Roster(
            layers=tuple(tuple(map(self._agent, layer)) for layer in self._layers((*place, "layers"), section)),
            aggregator=self._agent(section.aggregator) if section.aggregator else None,
            roles={role: self._agent(agent) for role, agent in section.roles.items()},
        )
        # Of what is not sound itself, nothing is told that may only follow.
        sound = not self._problems.under(place) and all(agent.model for agent in roster.agents())
        if sound and section.budget.cost_nanousd is not None:
            self._fit.check_prices((*place, "budget", "usd"), roster)
        return Mixture(
            name=name,
            strategy=section.strategy,
            roster=roster,
            rules=section.rules,
            options=self._options(place, section, roster if sound else None),
            budget=section.budget,
            permissions=section.allow,
            description=section.description,
        )

    def _agent(self, name: str) -> Agent:
        return self._agents.get(name) or Agent(name, "")

    def _layers(self, place: Place, section: MixtureSection) -> tuple[tuple[str, ...], ...]:
        """Return the names of each layer's agents, whichever way the layers are written."""
        names = tuple(form for form in section.layers if isinstance(form, str))
        if names and len(names) < len(section.layers):
            self._problems.add(place, "mixes names with lists; write one list of names, or lists only")
            return ()
        layers = [names] if names else []
        for form in () if names else section.layers:
            if isinstance(form, RepeatSection):
                layers += [form.agents] * form.repeat
            else:
                layers.append(tuple(form))
        for index, layer in enumerate(layers):
            if not layer:
                self._problems.add((*place, index), "has no agents; name at least one or remove the layer")
        if len(layers) > _MOST_LAYERS:
            self._problems.add(place, f"are {len(layers)} layers; at most {_MOST_LAYERS} can be written")
        return tuple(layers[:_MOST_LAYERS])

    def _options(self, place: Place, section: MixtureSection, roster: Roster | None) -> Mapping[str, Any]:
        """Read the options, and check with them what only the strategy can tell, where the rest is sound."""
        strategy = self._strategies.get(section.strategy)
        if strategy is None:
            return section.options
        options, wrong = read_section(strategy.options, section.options, (*place, "options"))
        self._problems.found += wrong
        if options is None:
            return section.options
        if roster is not None:
            impossible = tuple(strategy.problems(roster, options))
            for sentence in impossible:
                self._problems.add(place, sentence)
            if not impossible:
                layers = strategy.outlined(roster, options, section.rules)
                self._fit.check(place, layers)
                self._check_quorum(place, section.rules.quorum, roster, layers)
        return {field.name: getattr(options, field.name) for field in fields(options)}

    def _check_quorum(
        self, place: Place, quorum: int | None, roster: Roster, layers: tuple[OutlinedLayer, ...]
    ) -> None:
        """Note a quorum that a layer can never have: of an agent that is sampled, every sample counts."""

        def most(asked: tuple[Agent, ...]) -> int:
            names = {agent.name for agent in asked}
            return max(sum(agent.name in names for agent in layer.agents) for layer in layers)

        smallest = min(map(most, roster.layers), default=None)
        if quorum is not None and smallest is not None and quorum > smallest:
            wrong = f"{quorum} is more than the {smallest} proposals that the smallest layer can give"
            self._problems.add((*place, "rules", "quorum"), f"{wrong}; write at most {smallest}")


@dataclass(frozen=True, slots=True)
class Fit:
    """Finds the agents whose model cannot hold what their mixture shows them."""

    models: Mapping[str, ModelSpec]
    limits: Limits | None
    """None where they are refused themselves."""
    problems: Problems

    def check(self, place: Place, layers: tuple[OutlinedLayer, ...]) -> None:
        """Note every agent whose model cannot hold the worst case, and every layer beyond the limits."""
        if self.limits is not None and len(layers) > self.limits.layers:
            wrong = f"can come to {len(layers)} layers"
            self.problems.add(place, f"{wrong}; use fewer, or raise limits.layers above {self.limits.layers}")
        counts = [len(layer.agents[: layer.most]) for layer in layers]
        for index, (layer, count) in enumerate(zip(layers, counts, strict=True)):
            if self.limits is not None and count > self.limits.agents_per_layer:
                wrong, most = f"layer {index} can come to {count} agents", self.limits.agents_per_layer
                self.problems.add(place, f"{wrong}; use fewer, or raise limits.agents_per_layer above {most}")
            if layer.folds:
                continue  # it is shown less than the layer whose references did not fit
            shown = layer.shown(counts[:index])
            for agent in dict.fromkeys(layer.agents):
                self._check_agent(place, index, layer, agent, shown)

    def check_prices(self, place: Place, roster: Roster) -> None:
        """Note every model without a price, for a mixture that may only cost so much."""
        unpriced = dict.fromkeys(agent.model for agent in roster.agents() if self.models[agent.model].price is None)
        for model in unpriced:
            wrong = f"cannot be kept while model {model!r} has no price"
            self.problems.add(place, f"{wrong}; give models.{model}.price or limit calls and tokens instead")

    def _check_agent(self, place: Place, index: int, layer: OutlinedLayer, agent: Agent, shown: int) -> None:
        spec = self.models[agent.model]
        output = spec.most_output(agent.sampling)
        told = tokens.of_text(agent.instructions, spec.counted_by) + tokens.TOKENS_PER_MESSAGE
        told += tokens.TOKENS_PER_CALL + tokens.of_schema(layer.schema, spec.counted_by)
        references = layer.told + LEAST_REFERENCE * shown
        needed = output + told + LEAST_CONVERSATION + references
        if needed <= spec.window:
            return
        wrong = (
            f"agent {agent.name!r} in layer {index} needs {needed} tokens of model {spec.name!r}, whose window is "
            f"{spec.window}: {output} to answer, {told} of instructions, {LEAST_CONVERSATION} of conversation, "
            f"{references} for {shown} references"
        )
        right = "lower its max_tokens, show it fewer agents, or give it a model with a larger window"
        self.problems.add(place, f"{wrong}; {right}")
