"""Turns what a caller says into the messages of the contract."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict
from uuid import uuid4

from moa.v1.moa_service_pb2 import QueryRequest, SynthesizeRequest
from moa.v1.plan_pb2 import ROLE_USER, Budget, LayerOverride, Message, Part, Query, Sampling

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


def query(question: Question, options: QueryOptions) -> Query:
    """Write a question and its options as a query; neither is changed."""
    made = Query()
    if isinstance(question, Query):
        made.CopyFrom(question)
    else:
        made.messages.extend(_messages(question))
    if "mixture" in options:
        made.mixture = options["mixture"]
    _override(made, options)
    return made


def query_request(question: Question, options: RunOptions) -> QueryRequest:
    """Write the request that waits for the end of a run."""
    return QueryRequest(
        query=query(question, options),
        request_id=options.get("request_id") or uuid4().hex,
        detached=options.get("detached", False),
    )


def synthesize_request(question: Question, options: StreamOptions) -> SynthesizeRequest:
    """Write the request that streams a run."""
    return SynthesizeRequest(
        query=query(question, options),
        request_id=options.get("request_id") or uuid4().hex,
        detached=options.get("detached", False),
        proposal_deltas=options.get("proposal_deltas", False),
    )


def _messages(question: str | Sequence[Message]) -> Sequence[Message]:
    if isinstance(question, str):
        return [Message(role=ROLE_USER, parts=[Part(text=question)])]
    return question


def _override(made: Query, options: QueryOptions) -> None:
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
