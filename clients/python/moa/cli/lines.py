"""Says in lines of plain text what a run, a plan or a mixture is."""

import unicodedata
from collections.abc import Iterator

from moa.cli.progress import AgentProgress, RunProgress, State
from moa.translation import error_of, member_name
from moa.v1.event_pb2 import DecisionKind, Event
from moa.v1.plan_pb2 import DegradationReason, Mixture, Plan, PlannedLayer, WorstCase
from moa.v1.run_pb2 import CERTAINTY_KNOWN, LayerSummary, Usage

_NANO = 1e9
# They turn the direction of what follows, so that a line no longer reads as it is.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def safe(text: str) -> str:
    """Show control characters, terminal escape sequences among them, as what they are instead of obeying them."""

    def shown(char: str) -> bool:
        return char in "\n\t" or (unicodedata.category(char) not in {"Cc", "Cs"} and char not in _DIRECTION)

    return "".join(char if shown(char) else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str) -> str:
    """Show a text on a single line."""
    return " ".join(safe(text).split())


def line_of(event: Event, progress: RunProgress) -> str | None:
    """Return the line that tells an event which the progress has just been fed; None when it says nothing new."""
    line: str | None = None
    match event.WhichOneof("fact"):
        case "run_started":
            plan = event.run_started.plan
            line = f"run {one_line(progress.run_id)}: {one_line(plan.mixture)}, {worst(plan.worst_case)}"
        case "run_adopted":
            line = "the run goes on at another server"
        case "layer_started":
            line = layer_line(event.layer_started.layer)
        case "proposal_received":
            received = event.proposal_received
            line = agent_line(progress.layers[received.layer].agents[received.proposal.position])
        case "agent_failed":
            failed = event.agent_failed
            line = agent_line(progress.layers[failed.layer].agents[failed.failure.position])
        case "layer_closed":
            line = closed_line(event.layer_closed.layer)
        case "decision_made":
            made = event.decision_made
            line = one_line(f"decided: {_kind(made.kind)}: {', '.join(made.chosen)} {made.detail}")
    return line


def layer_line(layer: PlannedLayer) -> str:
    """Return a layer that starts."""
    names = ", ".join(one_line(agent.name) for agent in layer.agents)
    some = f", at most {layer.most} of them" if 0 < layer.most < len(layer.agents) else ""
    when = " if references are too long" if layer.folds else ""
    return f"layer {layer.index}: {names}{some}{' writes the answer' if layer.answers else ''}{when}"


def closed_line(layer: LayerSummary) -> str:
    """Return a layer that has closed."""
    failed = sum(agent.failure != 0 for agent in layer.agents)
    return f"layer {layer.index} closed: {count(len(layer.agents) - failed, 'proposal')}, {failed} failed"


def agent_line(agent: AgentProgress) -> str:
    """Return an agent that has finished."""
    took = agent.seconds(0.0)
    time = "" if took is None else f" in {took:.1f} s"
    if agent.state is State.FAILED:
        return f"  {one_line(agent.name)} failed{time}: {agent.reason}"
    return f"  {one_line(agent.name)} done{time}, {count(agent.tokens, 'token')}"


def end_line(progress: RunProgress) -> str:
    """Return how the run ended and what it used."""
    end = progress.end
    used = usage(progress.usage)
    if end is None or not end.HasField("run_succeeded"):
        return one_line(str(error_of(end, progress.run_id))) + f" ({used})"
    answer = end.run_succeeded.answer
    line = f"answered by {one_line(answer.agent)} · {used}"
    if answer.degraded:
        reasons = (one_line(each.detail) or _name(each.reason) for each in answer.degradations)
        line += f" · less than planned: {'; '.join(reasons)}"
    return line


def usage(used: Usage) -> str:
    """Return what was used."""
    about = "" if used.certainty == CERTAINTY_KNOWN else "about "
    parts = [count(used.calls, "call"), f"{about}{count(used.input_tokens + used.output_tokens, 'token')}"]
    if used.HasField("cost_nanousd"):
        parts.append(f"${used.cost_nanousd / _NANO:.4f}")
    return " · ".join(parts)


def worst(case: WorstCase) -> str:
    """Return the most that can be used."""
    money = f", ${case.cost_nanousd / _NANO:.4f}" if case.HasField("cost_nanousd") else ""
    tokens = f", {count(case.tokens, 'token')}" if case.tokens else ""
    return f"at most {count(case.calls, 'call')}{tokens}{money}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """Describe a plan."""
    yield f"{one_line(plan.mixture)} ({one_line(plan.strategy)}): {worst(plan.worst_case)}"
    if plan.HasField("worst_case_with_failures") and plan.worst_case_with_failures != plan.worst_case:
        yield f"with every retry, hedge and fallback: {worst(plan.worst_case_with_failures)}"
    yield from map(layer_line, plan.layers)
    for degradation in plan.degradations:
        yield f"less than planned: {one_line(degradation.detail) or _name(degradation.reason)}"


def mixture_lines(mixture: Mixture) -> Iterator[str]:
    """Describe a mixture."""
    default = " (default)" if mixture.is_default else ""
    yield f"{one_line(mixture.name)}{default}: {one_line(mixture.description)}"
    yield f"  {one_line(mixture.strategy)}, {worst(mixture.worst_case)}"
    yield from (f"  {layer_line(layer)}" for layer in mixture.layers)


def count(number: int, word: str) -> str:
    """Return a number with its word."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _kind(kind: DecisionKind.ValueType) -> str:
    return member_name(DecisionKind.DESCRIPTOR, kind, "DECISION_KIND_").lower()


def _name(reason: DegradationReason.ValueType) -> str:
    return member_name(DegradationReason.DESCRIPTOR, reason, "DEGRADATION_REASON_")
