"""Tells whether the server is fit to be called, as a whole and by its parts."""

import asyncio
from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from moa_server.service.call import Context

OVERALL: Final = ""
SERVICE: Final = "moa.v1.MoaService"
LIVENESS: Final = "moa.liveness"
"""Whether the process answers at all: it does so until it ends, so that nothing kills it while it drains."""
READINESS: Final = "moa.readiness"

_SERVING: Final = HealthCheckResponse.SERVING
_NOT_SERVING: Final = HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = HealthCheckResponse.SERVICE_UNKNOWN


class Health(HealthServicer):
    """Answers probes and those who watch.

    In place of the library's own servicer, of which one watcher that leaves takes the news from all others of the same
    service (grpcio-health-checking 1.81).
    """

    def __init__(self) -> None:
        self._status: dict[str, int] = {LIVENESS: _SERVING}
        self._changed = asyncio.Event()
        self._is_reached = False
        self._was_reached = False
        self._is_draining = False
        self._is_closed = False
        self._set()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        """Return how a part is now."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        """Tell how a part is now, and whenever that changes, until the server closes."""
        told = None
        while True:
            changed = self._changed
            status = self._status.get(request.service, _UNKNOWN)
            if status != told:
                await context.write(HealthCheckResponse(status=status))
                told = status
            elif self._is_closed:
                return
            else:
                await changed.wait()

    def set_journal_reached(self, reached: bool) -> None:  # noqa: FBT001 - the only thing it is told
        """Say whether the journal takes what calls bring.

        While it does not, probes and balancers hear that work is better sent elsewhere. Callers, who watch the service
        itself, are kept away only if it never did: later they come back to the runs that go on here, and what can be
        read is served.
        """
        self._is_reached = reached
        self._was_reached |= reached
        self._set()

    def enter_graceful_shutdown(self) -> None:
        """Say for good that the server takes no more work. It is alive all the same."""
        self._is_draining = True
        self._set()

    def close(self) -> None:
        """Let those who watch go."""
        self._is_closed = True
        self._wake()

    def _set(self) -> None:
        for part, is_fit in ((OVERALL, self._is_reached), (SERVICE, self._was_reached), (READINESS, self._is_reached)):
            self._status[part] = _SERVING if is_fit and not self._is_draining else _NOT_SERVING
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
