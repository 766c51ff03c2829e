"""Makes the domain's mixtures of the section ``mixtures``."""

from collections.abc import Collection, Mapping
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.budget import Budget
from moa_server.domain.mixture import Mixture, Permissions, Roster, Rules
from moa_server.domain.strategy import Strategy
from moa_server.settings.findings import Findings
from moa_server.settings.fit import Fit
from moa_server.settings.layers import layers
from moa_server.settings.mixture_section import BudgetSection, MixtureSection, RulesSection
from moa_server.settings.options import options
from moa_server.settings.problem import Place


class Mixtures:
    """Makes mixtures, given the agents and strategies there are."""

    def __init__(
        self,
        strategies: Mapping[str, Strategy[Any]],
        agents: Mapping[str, Agent],
        names: Collection[str],
        fit: Fit,
        findings: Findings,
    ) -> None:
        self._strategies = strategies
        self._agents = agents
        self._names = names
        """Of all agents in the file, the refused ones too."""
        self._fit = fit
        self._findings = findings

    def mixture(self, name: str, section: MixtureSection) -> Mixture:
        """Return one mixture; what is wrong with it is noted."""
        place: Place = ("mixtures", name)
        known = len(self._findings.problems)
        self._findings.named((*place, "strategy"), "strategy", section.strategy, self._strategies)
        roster = self._roster(place, section)
        rules = _rules(section.rules)
        self._check_quorum(place, roster, rules)
        permissions = self._permissions(place, section)
        whole = len(self._findings.problems) == known and all(agent.model for agent in roster.agents())
        if whole and section.budget.usd is not None:
            self._fit.check_prices((*place, "budget", "usd"), roster, self._findings)
        plain = self._options(place, section, roster if whole else None)
        return Mixture(
            name=name,
            strategy=section.strategy,
            roster=roster,
            rules=rules,
            options=plain,
            budget=_budget(section.budget),
            permissions=permissions,
            description=section.description,
        )

    def _roster(self, place: Place, section: MixtureSection) -> Roster:
        return Roster(
            layers=tuple(
                tuple(self._agent(where, name) for where, name in layer)
                for layer in layers(section, place, self._findings)
            ),
            aggregator=self._agent((*place, "aggregator"), section.aggregator) if section.aggregator else None,
            roles={role: self._agent((*place, "roles", role), name) for role, name in section.roles.items()},
        )

    def _agent(self, place: Place, name: str) -> Agent:
        self._findings.named(place, "agent", name, self._names)
        return self._agents.get(name) or Agent(name, "")

    def _permissions(self, place: Place, section: MixtureSection) -> Permissions:
        allow = section.allow
        named = tuple(self._names) if allow.agents == "all" else tuple(allow.agents)
        for index, name in enumerate(named):
            self._findings.named((*place, "allow", "agents", index), "agent", name, self._names)
        self._findings.once((*place, "allow", "agents"), named)
        return Permissions(allow.sampling, allow.max_tokens, named, allow.response_schema)

    def _check_quorum(self, place: Place, roster: Roster, rules: Rules) -> None:
        smallest = min((len(layer) for layer in roster.layers), default=None)
        if rules.quorum is not None and smallest is not None and rules.quorum > smallest:
            wrong = f"{rules.quorum} is more than the {smallest} agents of the smallest layer"
            self._findings.add((*place, "rules", "quorum"), f"{wrong}; write at most {smallest}")

    def _options(self, place: Place, section: MixtureSection, roster: Roster | None) -> dict[str, Any]:
        """Read the options, and check with them what only the strategy can tell, where the rest is sound."""
        strategy = self._strategies.get(section.strategy)
        if strategy is None:
            return dict(section.options)
        read = options(strategy, section.options, (*place, "options"), self._findings)
        if read is None:
            return dict(section.options)
        if roster is not None:
            self._check_roster(place, strategy, roster, read[1], _rules(section.rules))
        return read[0]

    def _check_roster(
        self,
        place: Place,
        strategy: Strategy[Any],
        roster: Roster,
        told: Any,  # noqa: ANN401 - the strategy's own type
        rules: Rules,
    ) -> None:
        impossible = tuple(strategy.problems(roster, told))
        for sentence in impossible:
            self._findings.add(place, sentence)
        if not impossible:
            self._fit.check(place, strategy.outlined(roster, told, rules), self._findings)


def _rules(section: RulesSection) -> Rules:
    return Rules(
        prompt_form=section.prompt_form,
        reference_order=section.reference_order,
        quorum=section.quorum,
        grace_s=section.grace,
        fail_below_quorum=section.when_short == "fail",
        return_single=section.single == "return",
        best_proposal_on_failure=section.when_aggregator_fails == "best_proposal",
        fold_when_too_long=section.fold_when_too_long,
        restart_answer=section.restart_answer,
        degrade_to_budget=section.when_over_budget == "degrade",
        answer_share=section.answer_share,
        answer_words=section.answer_words,
    )


def _budget(section: BudgetSection) -> Budget:
    return Budget(section.calls, section.tokens, section.usd, section.time)
