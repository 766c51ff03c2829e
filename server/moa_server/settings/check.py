"""Tells what each mixture of a configuration comes to."""

from collections.abc import Callable, Iterator, Mapping

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import MoaError
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.plan import Plan, WorstCase
from moa_server.domain.usage import Budget
from moa_server.settings.problem import ConfigurationRefused, Problem
from moa_server.settings.settings import Settings

_NANO = 10**9
_ENOUGH_TO_REASON = 4096
"""Tokens of output below which a model that reasons may well say nothing; its makers advise several times more."""

Explain = Callable[[Mixture], Plan]
"""Plans a mixture for a short question, calling nothing."""
Unsent = Callable[[ModelSpec, Sampling], Mapping[str, str]]
"""Tells which settings a model is not sent, as far as that is known without asking it, and why, by their names."""


def all_sent(_spec: ModelSpec, _sampling: Sampling) -> Mapping[str, str]:
    """Know of no setting that is not sent."""
    return {}


def render_check(settings: Settings, explain: Explain, unsent: Unsent = all_sent) -> str:
    """Return, for each mixture, its strategy, its layers, its worst case and its budget; and whose tokens are assumed.

    Beside these stands which of its agents' settings are not sent.

    Raises:
        ConfigurationRefused: a mixture cannot be planned.
    """
    plans, problems = dict[str, Plan](), list[Problem]()
    for mixture in settings.mixtures.values():
        try:
            plans[mixture.name] = explain(mixture)
        except MoaError as error:
            problems.append(Problem(("mixtures", mixture.name), f"{error.detail}; give it what it needs"))
    if problems:
        raise ConfigurationRefused(problems)
    described = ("\n".join(_described(settings, plan, unsent)) for plan in plans.values())
    return "\n\n".join((*described, *_cramped(settings), *_assumed(settings)))


def _described(settings: Settings, plan: Plan, unsent: Unsent) -> Iterator[str]:
    note = " (default)" if plan.mixture == settings.default_mixture else ""
    yield f"{plan.mixture}{note}: strategy {plan.strategy}"
    for layer in plan.layers:
        agents = ", ".join(f"{agent.name} → {_model(settings, agent.model)}" for agent in layer.agents)
        yield f"  layer {layer.index}{' (answer)' if layer.answers else ''}: {agents}"
    yield f"  worst case: {_worst(plan.worst_case)}"
    if plan.worst_case_with_failures is not None:
        yield f"    with every retry, hedge and fallback: {_worst(plan.worst_case_with_failures)}"
    yield f"  budget: {_budget(plan.budget)}"
    for degradation in plan.degradations:
        yield f"  degraded to its budget: {degradation.detail}"
    for agent in dict.fromkeys(plan.roster.agents()):
        for name, why in unsent(settings.models[agent.model], agent.sampling).items():
            yield f"  not sent to {agent.model}: {name} of {agent.name}, since {why}"
    for agent in settings.without_signal.get(plan.mixture, ()):
        why = f"{agent.model} gives no log-probabilities, so that what {agent.name} says is never certain"
        yield f"  warning: {why}; take another gate or another model"
    yield from _warnings(plan)


def _worst(worst: WorstCase) -> str:
    return f"{_calls(worst.calls)}, {worst.tokens:,} tokens, {_money(worst.cost_nanousd)}"


def _budget(budget: Budget) -> str:
    limits = (
        _calls(budget.calls) if budget.calls is not None else "",
        f"{budget.tokens:,} tokens" if budget.tokens is not None else "",
        _money(budget.cost_nanousd) if budget.cost_nanousd is not None else "",
        f"{budget.time_s:g} s" if budget.time_s is not None else "",
    )
    return ", ".join(filter(None, limits)) or "none"


def _warnings(plan: Plan) -> Iterator[str]:
    """Warn of a budget that is too small even for the shortest question, or for one in which something fails."""
    if over := plan.worst_case.beyond(plan.budget):
        what = "loses layers or agents" if plan.rules.degrade_to_budget else "is refused"
        yield f"  warning: the budget cannot carry it: {_over(over)}; every run {what}"
    elif plan.worst_case_with_failures and (over := plan.worst_case_with_failures.beyond(plan.budget)):
        yield f"  note: the budget does not cover every retry, hedge and fallback: {_over(over)}"


def _over(over: Mapping[str, str]) -> str:
    limit = over["limit"].replace("cost_nanousd", "nanodollars")
    return f"{over['needed']} {limit} are needed, {over['allowed']} allowed"


def _cramped(settings: Settings) -> Iterator[str]:
    """Tell whose reasoning may use up what there is for the answer too."""
    found = []
    for agent in settings.agents.values():
        spec, prompt = settings.models[agent.model], Prompt((), agent.sampling)
        if prompt.reasons(spec) and (most := prompt.most_output(spec)) < _ENOUGH_TO_REASON:
            found.append(f"{agent.name} ({most:,})")
    if found:
        yield (
            f"few tokens to reason and to answer in: {', '.join(found)}; give them {_ENOUGH_TO_REASON:,} or more by "
            "max_output and max_tokens, or say reasons: false of a model that does not"
        )


def _assumed(settings: Settings) -> Iterator[str]:
    """Tell whose tokens are counted by assumption."""
    names = [name for name, spec in settings.models.items() if spec.counted_by is None]
    if names:
        yield f"tokens counted by assumption, since no tokenizer is named: {', '.join(names)}"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def _model(settings: Settings, name: str) -> str:
    upstream = settings.models[name].upstream_model
    return name if upstream == name else f"{name} ({upstream})"


def _money(nanodollars: int | None) -> str:
    if nanodollars is None:
        return "cost unknown (a model has no price)"
    whole, rest = divmod(nanodollars, _NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"US$ {whole:,}.{decimals}"
