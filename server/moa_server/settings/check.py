"""Tells what each mixture of a configuration comes to."""

from collections.abc import Callable, Iterator

from moa_server.domain.errors import MoaError
from moa_server.domain.mixture import Mixture
from moa_server.domain.plan import Plan
from moa_server.settings.problem import ConfigurationRefused, Problem
from moa_server.settings.settings import Settings

_NANO = 10**9

Explain = Callable[[Mixture], Plan]
"""Plans a mixture for a short question, calling nothing."""


def render_check(settings: Settings, explain: Explain) -> str:
    """Return, for each mixture, its strategy, its layers and its worst case.

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
    return "\n\n".join("\n".join(_described(settings, plan)) for plan in plans.values())


def _described(settings: Settings, plan: Plan) -> Iterator[str]:
    note = " (default)" if plan.mixture == settings.default_mixture else ""
    yield f"{plan.mixture}{note}: strategy {plan.strategy}"
    for layer in plan.layers:
        agents = ", ".join(f"{agent.name} → {_model(settings, agent.model)}" for agent in layer.agents)
        yield f"  layer {layer.index}{' (answer)' if layer.answers else ''}: {agents}"
    worst = plan.worst_case
    calls = "1 call" if worst.calls == 1 else f"{worst.calls} calls"
    money = _money(worst.cost_nanousd)
    yield f"  worst case: {calls}, {worst.tokens:,} tokens, {money}, retries and hedges apart"
    for degradation in plan.degradations:
        yield f"  degraded to its budget: {degradation.detail}"


def _model(settings: Settings, name: str) -> str:
    upstream = settings.models[name].upstream_model
    return name if upstream == name else f"{name} ({upstream})"


def _money(nanodollars: int | None) -> str:
    if nanodollars is None:
        return "cost unknown (a model has no price)"
    whole, rest = divmod(nanodollars, _NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"US$ {whole:,}.{decimals}"
