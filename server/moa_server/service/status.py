"""Ends a call with a typed status, whatever was raised: no other text leaves the house.

An error of the house becomes its code, one ErrorInfo, the fields it names, and when to ask again; anything else becomes
INTERNAL with a fixed sentence and a trace id.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AbortError, BaseError

from moa_server.domain import errors
from moa_server.domain.errors import MoaError, Violation
from moa_server.domain.event import RunCancelled, RunFailed
from moa_server.service.call import RpcCall
from moa_server.service.codes import FAULTS, code_of
from moa_server.service.wire.runs import write_causes

DOMAIN: Final = "moa.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
MOST_BYTES: Final = 4096 - 256
"""Of a packed status. Above about 8 KiB of metadata, details are lost at random; other trailers need room too."""

_SENTENCE: Final = "the server is at fault; quote the trace id to its operator"
_LONGEST_FAREWELL_S: Final = 5.0
"""How long the status may take to go out; a caller that does not read keeps it back for ever."""
_MOST_SENTENCE: Final = 256
_MOST_VALUE: Final = 160
_MOST_PAIRS: Final = 24
_MOST_VIOLATIONS: Final = 16
_CUT: Final = "…"

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends badly."""

    code: StatusCode
    sentence: str
    reason: str
    trailers: tuple[tuple[str, str | bytes], ...] = field(repr=False)


class EndedBadly(Exception):
    """A run ended without an answer, for a caller that waits for nothing else."""

    def __init__(self, run_id: str, failed: RunFailed) -> None:
        super().__init__(failed.detail)
        self.run_failed = failed
        causes = {f"agent.{failure.agent}": failure.reason for failure in failed.failures}
        # A reason that only a newer server knows is as if this one were at fault.
        kind = errors.BY_REASON.get(failed.reason, errors.InternalError)
        self.error = kind(
            failed.detail or failed.reason, metadata={"run_id": run_id, **dict(failed.metadata), **causes}
        )
        """The same as an error that names every agent's own reason."""


def was_cancelled(run_id: str, cancelled: RunCancelled) -> errors.RunCancelled:
    """Return a cancelled run as an error."""
    return errors.RunCancelled(
        f"run {run_id} was cancelled by {cancelled.by}", metadata={"run_id": run_id, "by": cancelled.by}
    )


@asynccontextmanager
async def typed_end(call: RpcCall) -> AsyncIterator[None]:
    """Turn what is raised within into the status of the call."""
    try:
        yield
    except asyncio.CancelledError as error:
        # One that leaked from below, while nobody cancelled this call, would end it without any status (grpc#29248).
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        await _end(call, _broken(call, error))
    except AbortError:
        raise  # the call has its status already
    except MoaError as error:
        # The classes between the root and the leaves are not for raising: the contract has no reason for them.
        await _end(call, ending_of(error) if error.reason() in errors.BY_REASON else _broken(call, error))
    except EndedBadly as error:
        await _end(call, ending_of(error.error, write_causes(error.run_failed)))
    except BaseError:
        call.code = StatusCode.CANCELLED  # the caller left while it was being written to
        raise
    except Exception as error:  # noqa: BLE001 - the border: its text must not go out
        await _end(call, _broken(call, error))


def _broken(call: RpcCall, error: BaseException) -> Ending:
    _logger.error("call.broke", method=call.method, exc_info=error)
    return ending_of(errors.InternalError(_SENTENCE, metadata={"trace_id": call.trace_id}))


async def _end(call: RpcCall, ending: Ending) -> None:
    call.code = ending.code
    log = _logger.warning if ending.code in FAULTS else _logger.info
    log("call.refused", method=call.method, caller=call.caller.name, reason=ending.reason, detail=ending.sentence)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_FAREWELL_S):
            await call.context.abort(ending.code, ending.sentence, trailing_metadata=ending.trailers)


def ending_of(error: MoaError, extra: Message | None = None) -> Ending:
    """Return how a call ends with an error; ``extra`` is a further detail, left out where it does not fit."""
    code, sentence = code_of(type(error)), cut(error.detail, _MOST_SENTENCE)
    packed = Status(code=code.value[0], message=sentence)
    info = ErrorInfo(reason=error.reason(), domain=DOMAIN)
    packed.details.add().Pack(info)
    if error.retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(max(0, round(error.retry_after_s * 1000)))
        packed.details.add().Pack(retry)
    # After what has a fixed size, since it takes a share of the room that is left.
    _fill(info, error.metadata, MOST_BYTES // 2 - packed.ByteSize())
    packed.details[0].Pack(info)
    if error.violations:
        packed.details.add().Pack(_bad_request(error.violations, MOST_BYTES - packed.ByteSize()))
    if extra is not None and packed.ByteSize() + extra.ByteSize() + 96 <= MOST_BYTES:  # 96 for the envelope
        packed.details.add().Pack(extra)
    details: tuple[str, str | bytes] = (DETAILS_KEY, packed.SerializeToString())
    return Ending(code, sentence, error.reason(), (details, *_pushback(error)))


def cut(text: str, most: int) -> str:
    """Return a text whose UTF-8 is at most ``most`` bytes, visibly cut where it was longer."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return raw.decode()
    return raw[: most - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _fill(info: ErrorInfo, metadata: Mapping[str, str], room: int) -> None:
    """Put as many facts into the ErrorInfo as there is room for, the first ones first."""
    for number, (key, value) in enumerate(metadata.items()):
        key, value = cut(key, _MOST_VALUE), cut(value, _MOST_VALUE)  # noqa: PLW2901 - nothing of the whole is kept
        room -= len(key.encode()) + len(value.encode()) + 8
        if room < 0 or number == _MOST_PAIRS:
            info.metadata["more"] = str(len(metadata) - number)
            break
        info.metadata[key] = value


def _bad_request(violations: tuple[Violation, ...], room: int) -> BadRequest:
    request = BadRequest()
    room -= 128  # for the envelope and the last entry, which says how many more there are
    for number, violation in enumerate(violations):
        path, sentence = cut(violation.field, _MOST_VALUE), cut(violation.description, _MOST_SENTENCE)
        room -= len(path.encode()) + len(sentence.encode()) + 12
        if room < 0 or number == _MOST_VIOLATIONS:
            request.field_violations.add(field=_CUT, description=f"{len(violations) - number} more")
            break
        request.field_violations.add(field=path, description=sentence)
    return request


def _pushback(error: MoaError) -> tuple[tuple[str, str | bytes], ...]:
    """Tell gRPC's own retries what to do: wait as long as is said, or never repeat what would start another run."""
    if isinstance(error, errors.Overloaded) and error.retry_after_s is not None:
        return ((PUSHBACK_KEY, str(max(1, round(error.retry_after_s * 1000)))),)  # 0 hangs the core
    if isinstance(error, errors.RunError | errors.ModelError):
        return ((PUSHBACK_KEY, "-1"),)
    return ()
