"""The wire: handlers, translation, status, interceptor, health. The only room with protobuf and gRPC."""

from moa_server.service.certificates import CertificateRefused
from moa_server.service.event_loop import loop_factory, stop_signals
from moa_server.service.server import AddressUnavailable, serving

__all__ = ["AddressUnavailable", "CertificateRefused", "loop_factory", "serving", "stop_signals"]
