"""Reads requests from the wire: every rule of the contract is checked here, and all that is wrong is named at once."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import plan_pb2, run_pb2
from moa_server.domain.event import BEGINNING, Cursor
from moa_server.domain.limits import Limits
from moa_server.domain.query import Query
from moa_server.service.wire.offer import check_offered, not_offered
from moa_server.service.wire.pages import Page, read_page
from moa_server.service.wire.queries import (
    Violations,
    read_conversation,
    read_duration,
    read_name,
    read_overrides,
)

_MOST_ID_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that is asked for."""

    query: Query
    request_id: str
    fingerprint: str
    detached: bool
    proposal_deltas: bool = False
    after: Cursor = BEGINNING


@dataclass(frozen=True, slots=True)
class Named:
    """A run that is named, by exactly one of its ids, and a place in it."""

    run_id: str = ""
    request_id: str = ""
    after: Cursor = BEGINNING


@dataclass(frozen=True, slots=True)
class LayerAsked:
    """A layer that is asked for."""

    run: Named
    index: int
    wait_s: float
    page: Page


def read_ask(request: pb.QueryRequest | pb.SynthesizeRequest, limits: Limits) -> Asked:
    """Return the run a request asks for.

    Raises:
        InvalidRequest: it breaks rules of the contract.
    """
    violations = Violations()
    query = _query(request, limits, violations)
    request_id = _id(request.request_id, "request_id", violations)
    after, deltas = BEGINNING, False
    if isinstance(request, pb.SynthesizeRequest):
        after, deltas = _cursor(request, "after", violations), request.proposal_deltas
    violations.raise_any()
    check_offered(request)
    return Asked(query, request_id, fingerprint(request.query), request.detached, deltas, after)


def read_query(request: pb.ExplainPlanRequest, limits: Limits) -> Query:
    """Return the query of a request.

    Raises:
        InvalidRequest: it breaks rules of the contract.
    """
    violations = Violations()
    query = _query(request, limits, violations)
    violations.raise_any()
    check_offered(request)
    return query


def read_name_of_run(request: pb.WatchRunRequest | pb.CancelRunRequest) -> Named:
    """Return the run a request names.

    Raises:
        InvalidRequest: it breaks rules of the contract.
    """
    violations = Violations()
    named = _named(request, violations)
    after = _cursor(request, "after", violations) if isinstance(request, pb.WatchRunRequest) else BEGINNING
    violations.raise_any()
    return replace(named, after=after)


def read_layer(request: pb.LayerResultRequest) -> LayerAsked:
    """Return the layer a request names.

    Raises:
        InvalidRequest: it breaks rules of the contract.
        NotOffered: the layer is one of a group.
    """
    violations = Violations()
    run = _named(request, violations)
    violations.check(request.index >= 0, "index", f"is {request.index}; layers are numbered from 0")
    wait_s = read_duration(request.wait, "wait", violations) if request.HasField("wait") else 0.0
    page = read_page(
        request.page_size, request.page_token, f"{run.run_id}/{run.request_id}/{request.index}", violations
    )
    violations.raise_any()
    if request.group:
        raise not_offered("group")
    return LayerAsked(run, request.index, wait_s, page)


def read_mixtures_page(request: pb.ListMixturesRequest) -> Page:
    """Return the part of the mixtures that a request asks for.

    Raises:
        InvalidRequest: it breaks rules of the contract.
    """
    violations = Violations()
    page = read_page(request.page_size, request.page_token, "mixtures", violations)
    violations.raise_any()
    return page


def fingerprint(query: plan_pb2.Query) -> str:
    """Return a digest that is the same for the same query."""
    return sha256(query.SerializeToString(deterministic=True)).hexdigest()


def _query(
    request: pb.QueryRequest | pb.SynthesizeRequest | pb.ExplainPlanRequest, limits: Limits, violations: Violations
) -> Query:
    if not request.HasField("query"):
        violations.add("query", "is not given")
        return Query(())
    size, most = request.ByteSize(), limits.request_size
    # What is too large is not looked into: reading it is what the limit spares the loop.
    if not violations.check(size <= most, "query", f"makes a request of {size} bytes; it may have {most}"):
        return Query(())
    query = request.query
    return Query(
        read_conversation(query.messages, "query.messages", limits, violations),
        read_name(query.mixture, "query.mixture", violations),
        read_overrides(query.overrides, "query.overrides", limits, violations),
    )


def _named(request: pb.WatchRunRequest | pb.CancelRunRequest | pb.LayerResultRequest, violations: Violations) -> Named:
    which = request.WhichOneof("run")
    given = _id(getattr(request, which), which, violations) if which else ""
    if which is None or not getattr(request, which):
        violations.add(which or "run_id", "is not given; name the run by its run_id or its request_id")
    return Named(run_id=given) if which == "run_id" else Named(request_id=given)


def _id(given: str, field: str, violations: Violations) -> str:
    fits = len(given) <= _MOST_ID_CHARACTERS and (not given or (given.isascii() and given.isprintable()))
    violations.check(fits, field, f"must be at most {_MOST_ID_CHARACTERS} printable ASCII characters")
    return given if fits else ""


def _cursor(request: pb.SynthesizeRequest | pb.WatchRunRequest, field: str, violations: Violations) -> Cursor:
    if not request.HasField("after"):
        return BEGINNING
    after: run_pb2.Cursor = request.after
    violations.check(after.epoch >= 0, f"{field}.epoch", f"is {after.epoch}; epochs are numbered from 1")
    violations.check(after.sequence >= 0, f"{field}.sequence", f"is {after.sequence}; it must not be negative")
    beginning = after.epoch == 0 and after.sequence > 0
    violations.check(not beginning, f"{field}.epoch", "is not given; a sequence is that of an epoch")
    return Cursor(after.epoch, after.sequence)
