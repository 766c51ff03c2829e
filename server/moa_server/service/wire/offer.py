"""Refuses what the contract has and this server does not do yet, rather than answer as if it had not been said."""

from collections.abc import Iterator

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import plan_pb2
from moa_server.domain.errors import NotOffered


def check_offered(request: pb.QueryRequest | pb.SynthesizeRequest | pb.ExplainPlanRequest) -> None:
    """Refuse a request that says what this server does not do yet.

    Raises:
        NotOffered: it does.
    """
    if not isinstance(request, pb.ExplainPlanRequest) and request.labels:
        raise not_offered("labels")
    for field in _unknown(request.query.overrides):
        raise not_offered(f"query.overrides.{field}")


def not_offered(what: str) -> NotOffered:
    """Return the error of a method or a field that is not offered yet."""
    return NotOffered(f"{what} is not offered yet", metadata={"what": what})


def _unknown(overrides: plan_pb2.Overrides) -> Iterator[str]:
    if overrides.prefer:
        yield "prefer"
    if overrides.HasField("deliberate"):
        yield "deliberate"
