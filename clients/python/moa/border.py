"""Translates what gRPC raises into the errors of this client."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import grpc

from moa.errors import MoaError
from moa.reasons import of_status
from moa.status import unpack


@contextmanager
def translated() -> Iterator[None]:
    """Raise a typed error in place of a failed call's."""
    try:
        yield
    except grpc.RpcError as error:
        raise of_call(error) from error


def of_call(error: grpc.RpcError) -> MoaError:
    """Build the typed error of a failed call."""
    trailers = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    return of_status(error.details() or error.code().name, unpack(error.code(), trailers))
