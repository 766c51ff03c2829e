"""Turns what a caller says into the messages of the contract."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration

from moa.v1 import moa_service_pb2 as pb
from moa.v1.plan_pb2 import ROLE_USER, Budget, LayerOverride, Message, Part, Query, Sampling
from moa.v1.run_pb2 import Cursor

Question = str | Query | Sequence[Message]
"""A text, a conversation, or a whole query whose overrides the options are laid over."""


class QueryOptions(TypedDict, total=False):
    """What a caller may say about how a question is answered."""

    mixture: str
    """The name of a configured mixture. Unset means the server's default."""
    sampling: Sampling
    """Sampling laid over that of every agent."""
    layers: Sequence[Sequence[str]]
    """The proposer layers, by the names of agents."""
    aggregator: str
    """The name of the agent that writes the answer."""
    budget: Budget
    """Limits of this run."""
    response_schema: str | Mapping[str, object]
    """A JSON Schema which the answer has to satisfy."""
    seed: int
    """The seed of every pseudo-random choice of the run."""
    timeout: float
    """Seconds until the caller no longer waits. Unset means the client's own."""


class RunOptions(QueryOptions, total=False):
    """What a caller may say about a run beside its question."""

    request_id: str
    """The caller's own id of this request, so that asking again finds the same run. Unset means a fresh one."""
    detached: bool
    """Whether the run goes on when nobody watches it."""


class StreamOptions(RunOptions, total=False):
    """What a caller may say about a run whose events it reads."""

    proposal_deltas: bool
    """Whether the events hold the pieces of proposals too."""


def query(question: Question, options: RunOptions) -> pb.QueryRequest:
    """Write the request that waits for the end of a run."""
    return pb.QueryRequest(
        query=query_of(question, options),
        request_id=options.get("request_id") or uuid4().hex,
        detached=options.get("detached", False),
    )


def synthesize(question: Question, options: StreamOptions) -> pb.SynthesizeRequest:
    """Write the request that streams a run."""
    return pb.SynthesizeRequest(
        query=query_of(question, options),
        request_id=options.get("request_id") or uuid4().hex,
        detached=options.get("detached", False),
        proposal_deltas=options.get("proposal_deltas", False),
    )


def explain(question: Question, options: QueryOptions) -> pb.ExplainPlanRequest:
    """Write the request for a plan."""
    return pb.ExplainPlanRequest(query=query_of(question, options))


def watch(run_id: str, request_id: str, after: Cursor | None) -> pb.WatchRunRequest:
    """Name a run by the server's id, else by the caller's, and a place in it."""
    if run_id:
        return pb.WatchRunRequest(run_id=run_id, after=after)
    return pb.WatchRunRequest(request_id=request_id, after=after)


def cancel(run_id: str, request_id: str) -> pb.CancelRunRequest:
    """Name a run by the server's id, else by the caller's."""
    return pb.CancelRunRequest(run_id=run_id) if run_id else pb.CancelRunRequest(request_id=request_id)


def layer_result(run_id: str, request_id: str, index: int, wait: float | None) -> pb.LayerResultRequest:
    """Name a layer, and how long to wait for it."""
    request = pb.LayerResultRequest(index=index)
    if run_id:
        request.run_id = run_id
    else:
        request.request_id = request_id
    if wait is not None:
        duration = Duration()
        duration.FromNanoseconds(round(wait * 1e9))
        request.wait.CopyFrom(duration)
    return request


def query_of(question: Question, options: QueryOptions) -> Query:
    """Write a question and its options as a query; neither is changed."""
    made = Query()
    if isinstance(question, Query):
        made.CopyFrom(question)
    elif isinstance(question, str):
        made.messages.add(role=ROLE_USER, parts=[Part(text=question)])
    else:
        made.messages.extend(question)
    if "mixture" in options:
        made.mixture = options["mixture"]
    # Only what was said is set: a default written out would travel as an override, which a mixture may refuse.
    overrides = made.overrides
    if "sampling" in options:
        overrides.sampling.CopyFrom(options["sampling"])
    if "layers" in options:
        del overrides.layers[:]
        overrides.layers.extend(LayerOverride(agents=agents) for agents in options["layers"])
    if "aggregator" in options:
        overrides.aggregator = options["aggregator"]
    if "budget" in options:
        overrides.budget.CopyFrom(options["budget"])
    if "response_schema" in options:
        schema = options["response_schema"]
        overrides.response_schema = schema if isinstance(schema, str) else json.dumps(schema)
    if "seed" in options:
        overrides.seed = options["seed"]
    return made
