"""Ends a call with a typed status, whatever was raised: no other text leaves the house."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from grpc import StatusCode
from grpc.aio import AbortError, BaseError

from moa_server.domain.errors import BY_REASON, InternalError, MoaError
from moa_server.service.call import RpcCall
from moa_server.service.codes import FAULTS
from moa_server.service.ended_badly import EndedBadly
from moa_server.service.status import Ending, ending_of
from moa_server.service.wire.runs import write_causes

_SENTENCE: Final = "the server is at fault; quote the trace id to its operator"
_LONGEST_FAREWELL_S: Final = 5.0
"""How long the status may take to go out; a caller that does not read keeps it back for ever."""

_logger = structlog.get_logger(__name__)


@asynccontextmanager
async def typed_end(call: RpcCall) -> AsyncIterator[None]:
    """Turn what is raised within into the status of the call."""
    try:
        yield
    except asyncio.CancelledError as error:
        # One that leaked from below, while nobody cancelled this call, would end it without any status (grpc#29248).
        if _is_cancelled():
            raise
        await _end(call, _broken(call, error))
    except AbortError:
        raise
    except MoaError as error:
        await _end(call, ending_of(error) if error.reason() in BY_REASON else _broken(call, error))
    except EndedBadly as error:
        await _end(call, ending_of(error.error, write_causes(error.run_failed)))
    except BaseError:
        call.code = StatusCode.CANCELLED  # the caller left while it was being written to
        raise
    except Exception as error:  # noqa: BLE001 - the border: its text must not go out
        await _end(call, _broken(call, error))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _broken(call: RpcCall, error: BaseException) -> Ending:
    _logger.error("call.broke", method=call.method, exc_info=error)
    return ending_of(InternalError(_SENTENCE, metadata={"trace_id": call.trace_id}))


async def _end(call: RpcCall, ending: Ending) -> None:
    call.code = ending.code
    log = _logger.warning if ending.code in FAULTS else _logger.info
    log("call.refused", method=call.method, caller=call.caller.name, reason=ending.reason, detail=ending.sentence)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_FAREWELL_S):
            await call.context.abort(ending.code, ending.sentence, trailing_metadata=ending.trailers)
