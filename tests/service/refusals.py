"""Reads how a call was refused."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from moa.v1.run_pb2 import RunFailure


@dataclass
class Refusal:
    code: grpc.StatusCode
    sentence: str
    infos: list[ErrorInfo]
    fields: list[str]
    retry_s: float | None
    failure: RunFailure | None
    packed: bytes
    trailers: dict[str, Any]

    @property
    def reason(self) -> str:
        """Of the only ErrorInfo."""
        assert len(self.infos) == 1
        assert self.infos[0].domain == "moa.v1"
        return self.infos[0].reason

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.infos[0].metadata)


def read(error: grpc.aio.AioRpcError) -> Refusal:
    trailers = dict(error.trailing_metadata() or ())
    packed = trailers.get("grpc-status-details-bin", b"")
    return unpacked(error.code(), error.details() or "", packed, trailers)


def unpacked(code: grpc.StatusCode, sentence: str, packed: bytes, trailers: dict[str, Any]) -> Refusal:
    status = Status.FromString(packed)
    found: dict[str, list[Any]] = {}
    for detail in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RunFailure):
            message: Any = kind()
            if detail.Unpack(message):
                found.setdefault(kind.__name__, []).append(message)
    retry = found.get("RetryInfo", [None])[0]
    return Refusal(
        code,
        sentence,
        found.get("ErrorInfo", []),
        [each.field for request in found.get("BadRequest", []) for each in request.field_violations],
        None if retry is None else retry.retry_delay.ToNanoseconds() / 1e9,
        found.get("RunFailure", [None])[0],
        packed,
        trailers,
    )


async def refusal(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return read(refused.value)


async def refusal_of_stream(call: Any) -> Refusal:  # noqa: ANN401
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in call:
            pass
    return read(refused.value)
