"""Says in lines what a run, a plan or a mixture is."""

from collections.abc import Callable, Iterator

from moa.cli.board import AgentLine, Board, State
from moa.cli.plain_text import one_line
from moa.outcome import error_of
from moa.v1 import event_pb2 as ev
from moa.v1.plan_pb2 import DegradationReason, Mixture, Plan, PlannedLayer, WorstCase
from moa.v1.run_pb2 import CERTAINTY_KNOWN, Answer, LayerResult, Usage

_NANO = 1e9


def line_of(event: ev.Event, board: Board) -> str | None:
    """Return the line that tells an event which the board has just been fed; None when it says nothing new."""
    line = _LINES.get(event.WhichOneof("fact") or "")
    return line(event, board) if line else None


def layer_line(layer: PlannedLayer) -> str:
    """Return a layer that starts."""
    names = ", ".join(one_line(agent.name) for agent in layer.agents)
    some = f", at most {layer.most} of them" if 0 < layer.most < len(layer.agents) else ""
    when = " if references are too long" if layer.folds else ""
    return f"layer {layer.index}: {names}{some}{' writes the answer' if layer.answers else ''}{when}"


def closed_line(layer: LayerResult) -> str:
    """Return a layer that has closed."""
    return f"layer {layer.index} closed: {count(len(layer.proposals), 'proposal')}, {len(layer.failures)} failed"


def agent_line(agent: AgentLine) -> str:
    """Return an agent that has finished."""
    took = agent.seconds(0.0)
    time = "" if took is None else f" in {took:.1f} s"
    if agent.state is State.FAILED:
        return f"  {one_line(agent.name)} failed{time}: {agent.reason}"
    return f"  {one_line(agent.name)} done{time}, {count(agent.tokens, 'token')}"


def end_line(board: Board) -> str:
    """Return how the run ended and what it used."""
    end = board.end
    used = usage(board.usage)
    if end is None or not end.HasField("run_succeeded"):
        return one_line(str(error_of(end))) + f" ({used})"
    answer = end.run_succeeded.answer
    return f"answered by {one_line(answer.agent)} · {used}{_less(answer)}"


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


def _less(answer: Answer) -> str:
    if not answer.degraded:
        return ""
    reasons = (one_line(each.detail) or _name(each.reason) for each in answer.degradations)
    return f" · less than planned: {'; '.join(reasons)}"


def _name(reason: DegradationReason.ValueType) -> str:
    known = reason in DegradationReason.values()
    return DegradationReason.Name(reason).removeprefix("DEGRADATION_REASON_") if known else str(int(reason))


def _started(event: ev.Event, _board: Board) -> str:
    plan = event.run_started.plan
    return f"run {one_line(event.run_id)}: {one_line(plan.mixture)}, {worst(plan.worst_case)}"


def _done(event: ev.Event, board: Board) -> str:
    fact = event.proposal_received
    return agent_line(board.layers[fact.layer].agents[fact.proposal.position])


def _lost(event: ev.Event, board: Board) -> str:
    fact = event.agent_failed
    return agent_line(board.layers[fact.layer].agents[fact.failure.position])


def _decided(event: ev.Event, _board: Board) -> str:
    fact = event.decision_made
    return one_line(f"decided: {fact.subject}: {', '.join(fact.chosen)} {fact.detail}")


_LINES: dict[str, Callable[[ev.Event, Board], str]] = {
    "run_started": _started,
    "run_adopted": lambda _event, _board: "the run goes on at another server",
    "layer_started": lambda event, _board: layer_line(event.layer_started.layer),
    "proposal_received": _done,
    "agent_failed": _lost,
    "layer_closed": lambda event, _board: closed_line(event.layer_closed.layer),
    "decision_made": _decided,
}
