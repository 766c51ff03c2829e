"""Writes moments and lengths of time for the wire."""

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLION: Final = 1_000_000


def write_moment(moment: datetime) -> Timestamp:
    """Return a moment as the wire has it."""
    seconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, _MILLION)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def write_duration(seconds: float) -> Duration:
    """Return a length of time as the wire has it."""
    whole, microseconds = divmod(round(seconds * _MILLION), _MILLION)
    return Duration(seconds=whole, nanos=microseconds * 1000)
