"""Everything that can go wrong, by name.

    MoaError
    ├── RequestError              the caller asked for something it cannot have
    │   ├── InvalidRequest        a field breaks the contract
    │   ├── UnknownMixture        no mixture of that name
    │   ├── OverrideRefused       the mixture does not allow this change
    │   ├── RunNotFound           no run of that id for this caller
    │   ├── LayerNotFound         the run has no such layer
    │   ├── LayerOpen             the layer has not closed yet
    │   ├── RequestIdReused       the request id stands for another request
    │   ├── ResumePointExpired    the events after that place are gone
    │   ├── Unauthenticated       who calls is not proven
    │   ├── PermissionDenied      who calls may not do this
    │   ├── QuotaExceeded         who calls has used its share
    │   ├── SchemaTooCostly       the response schema costs too much to check
    │   ├── PromptTooLong         the messages do not fit a model's window
    │   └── PlanTooLarge          the plan is larger than is allowed
    ├── LimitError                a limit of the run
    │   ├── BudgetTooSmall        the worst case does not fit
    │   ├── BudgetExceeded        the budget is used up
    │   └── DeadlineExceeded      the time is over
    ├── RunError                  a run that ended without an answer
    │   ├── RunCancelled          somebody cancelled it
    │   ├── NoProposals           every agent of a layer failed
    │   ├── QuorumMissed          too few agents answered
    │   ├── AnswerFailed          the answering agent failed for good
    │   ├── AnswerMismatch        the answer does not satisfy its schema
    │   ├── RunAbandoned          the run has lost too many owners
    │   ├── ModelsUnusable        nobody answered, and every failure is permanent
    │   ├── RunQuarantined        two owners in a row fell silent under it
    │   └── RunLost               it was in the memory of a server that is gone
    ├── ServerError               the server cannot serve now
    │   ├── Overloaded            it is at its limit
    │   ├── ShuttingDown          it is stopping
    │   ├── JournalUnavailable    runs cannot be stored
    │   ├── NotOffered            it does not do this
    │   └── InternalError         a fault of its own
    └── ModelError                one attempt failed; always becomes a value
        ├── ModelUnreachable · ModelTimeout · ModelCredentialsRefused · ModelUnknown
        ├── ModelThrottled · ModelQuotaExhausted · ModelUnavailable · ModelRejectedRequest
        ├── ModelWindowExceeded · ModelProtocolBroken · ModelStreamCut
        ├── ModelAnsweredNothing · ModelRefused · ModelBreakerOpen · StragglerCut
        └── ModelAnswerTooLong · ModelOnlyReasoned · NotNeeded

A class's reason is its name in capitals; the contract and the client spell the same names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from moa_server.domain.usage import Usage

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that breaks the contract."""

    field: str
    """Its path, such as ``query.messages[0].role``."""
    description: str
    """What is wrong, and what would be right."""


class MoaError(Exception):
    """The root of every error the house raises on purpose."""

    def __init__(
        self,
        detail: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after_s = retry_after_s

    @classmethod
    def reason(cls) -> str:
        """Return the name the contract gives this error."""
        return _WORD_START.sub("_", cls.__name__).upper()


class RequestError(MoaError):
    """The caller asked for something it cannot have."""


class InvalidRequest(RequestError):
    """A field breaks the contract."""


class UnknownMixture(RequestError):
    """No mixture has that name."""


class OverrideRefused(RequestError):
    """The mixture does not allow this change."""


class RunNotFound(RequestError):
    """No run has that id, as far as this caller may know."""


class LayerNotFound(RequestError):
    """The run has no layer of that index."""


class LayerOpen(RequestError):
    """The layer has not closed yet."""


class RequestIdReused(RequestError):
    """The request id already stands for another request."""


class ResumePointExpired(RequestError):
    """The events after that place are no longer kept."""


class Unauthenticated(RequestError):
    """Who calls is not proven."""


class PermissionDenied(RequestError):
    """Who calls may not do this."""


class QuotaExceeded(RequestError):
    """Who calls has used its share."""


class SchemaTooCostly(RequestError):
    """The response schema costs too much to check."""


class PromptTooLong(RequestError):
    """The messages do not fit the window of a model that has to read them."""


class PlanTooLarge(RequestError):
    """The plan is larger than the caller may ask for."""


class LimitError(MoaError):
    """A limit of the run was met."""


class BudgetTooSmall(LimitError):
    """The worst case does not fit the budget."""


class BudgetExceeded(LimitError):
    """The budget is used up."""


class DeadlineExceeded(LimitError):
    """The time is over, or too little is left."""


class RunError(MoaError):
    """A run ended without an answer."""


class RunCancelled(RunError):
    """Somebody cancelled the run."""


class NoProposals(RunError):
    """Every agent of a layer failed."""


class QuorumMissed(RunError):
    """Fewer agents answered than the layer needs."""


class AnswerFailed(RunError):
    """The answering agent failed and nothing could take its place."""


class AnswerMismatch(RunError):
    """The answer does not satisfy the requested schema."""


class RunAbandoned(RunError):
    """The run has lost more owners than is allowed."""


class ModelsUnusable(RunError):
    """Nobody answered, and nobody will until the operator mends what failed."""


class RunQuarantined(RunError):
    """Two owners in a row fell silent while the run was open."""


class RunLost(RunError):
    """The run was held in the memory of a server that is gone."""


class ServerError(MoaError):
    """The server cannot serve now."""


class Overloaded(ServerError):
    """The server is at its limit."""


class ShuttingDown(ServerError):
    """The server is stopping."""


class JournalUnavailable(ServerError):
    """Runs and events cannot be stored or read now."""

    passes = True
    """Whether this server may do it later."""


class NotOffered(ServerError):
    """The server does not do this."""


class InternalError(ServerError):
    """The server is at fault."""


class RefusalReach(StrEnum):
    """For which calls of a model the refusal of a parameter holds."""

    MODEL = "model"
    """For all: the model does not take it, whatever its value."""
    SETTINGS = "settings"
    """For those with the same settings: its value is refused, or it is beside another."""
    CALL = "call"
    """For this one alone: its prompt has the very words that told of it, and others have to learn nothing from that."""


class ModelError(MoaError):
    """One attempt failed. It becomes a value before it reaches a layer."""

    permanent = False
    """Whether the same call to the same endpoint is bound to fail again."""
    is_operators = False
    """Whether it is only the operator who can mend it."""
    parameter = ""
    """What of the request the endpoint refused, in the words of `Sampling`, or ``logprobs``."""
    reach = RefusalReach.CALL
    """For which calls that refusal holds."""
    left_out: frozenset[str] = frozenset()
    """What attempts before it, of the same call, have found to be refused, and others may learn of."""
    told: Mapping[str, str] = MappingProxyType({})
    """The endpoint's own ``code``, ``type`` and ``param`` of it, as far as they are identifiers."""
    stale = False
    """Whether all that failed is a kept connection, so that the same request may go out on another one at once."""
    usage: Usage | None = None
    """What the attempt used before it failed, as far as that is known."""

    @property
    def upstream_code(self) -> str:
        """The endpoint's own code of the failure, or its type; never its text."""
        return self.told.get("code") or self.told.get("type", "")


class ModelUnreachable(ModelError):
    """The endpoint could not be connected to."""


class ModelTimeout(ModelError):
    """The endpoint was silent for too long."""


class ModelCredentialsRefused(ModelError):
    """The endpoint refused the operator's credentials."""

    permanent = True
    is_operators = True


class ModelUnknown(ModelError):
    """The endpoint does not know the model."""

    permanent = True
    is_operators = True


class ModelThrottled(ModelError):
    """The endpoint asks to slow down; ``retry_after_s`` holds its wish."""


class ModelQuotaExhausted(ModelError):
    """The operator's account at the endpoint is used up."""

    permanent = True
    is_operators = True


class ModelUnavailable(ModelError):
    """The endpoint failed, or is overloaded."""


class ModelRejectedRequest(ModelError):
    """The endpoint refused the request as malformed."""

    permanent = True
    is_operators = True


class ModelWindowExceeded(ModelError):
    """The prompt does not fit the model's window."""

    permanent = True


class ModelProtocolBroken(ModelError):
    """What the endpoint sent is not what its protocol allows."""


class ModelStreamCut(ModelError):
    """The stream ended before the model had finished."""


class ModelAnsweredNothing(ModelError):
    """The model gave nothing, or only reasoning or white space."""


class ModelRefused(ModelError):
    """The model declined to answer."""

    permanent = True


class ModelBreakerOpen(ModelError):
    """The model's circuit breaker is open, so that it was not called."""


class StragglerCut(ModelError):
    """The layer closed without this agent."""


class ModelAnswerTooLong(ModelError):
    """The model wrote more than any answer may be long."""

    permanent = True


class ModelOnlyReasoned(ModelError):
    """The model used all its tokens for reasoning."""

    permanent = True


class NotNeeded(ModelError):
    """The outcome was decided without this agent."""


def _leaves(cls: type[MoaError]) -> Iterator[type[MoaError]]:
    below = cls.__subclasses__()
    if not below:
        yield cls
    for child in below:
        yield from _leaves(child)


BY_REASON: Mapping[str, type[MoaError]] = {cls.reason(): cls for cls in _leaves(MoaError)}
"""The errors that can be raised, by their reasons."""
