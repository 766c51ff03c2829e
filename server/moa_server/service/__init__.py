"""The wire: handlers, translation, status, interceptors, health. The only room with protobuf and gRPC."""

from moa_server.service.certificates import CertificateRefused
from moa_server.service.loop import loop_factory
from moa_server.service.server import AddressUnavailable, Serving, serving
from moa_server.service.stop_signals import stop_signals

__all__ = [
    "AddressUnavailable",
    "CertificateRefused",
    "Serving",
    "loop_factory",
    "serving",
    "stop_signals",
]
