"""Keeps the server's certificate as it is in its files, also when these are replaced."""

import ssl

import grpc
import structlog

from moa_server.domain.operation import Tls

_State = tuple[tuple[int, int, int], ...]
_logger = structlog.get_logger(__name__)


class CertificateRefused(Exception):
    """The certificate, its key and the authorities cannot be used together."""


class Certificates:
    """The certificate in use."""

    def __init__(self, files: Tls) -> None:
        """Read the files.

        Raises:
            CertificateRefused: they cannot be used.
        """
        self._files = files
        self._state = self._stamp()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what the server proves itself with, read again whenever the files change."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._newer,  # type: ignore[arg-type]  # None, which stands for no change, is missing in the stubs
            require_client_authentication=self._files.client_ca is not None,
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has become of the files, or None to go on with what there is.

        gRPC asks at every handshake, on a thread of its own; an exception would refuse the caller.
        """
        try:
            state = self._stamp()
            if state == self._state:
                return None
            read = self._read()
        except CertificateRefused as error:
            _logger.warning("certificate.refused", detail=str(error))
            return None
        self._state = state
        _logger.info("certificate.replaced", cert=str(self._files.cert))
        return read

    def _stamp(self) -> _State:
        files = (self._files.cert, self._files.key, self._files.client_ca)
        try:
            found = [path.stat() for path in files if path is not None]
        except OSError as error:
            raise CertificateRefused(f"{error.filename} cannot be read: {error.strerror}") from None
        # The inode too: files that are moved into place may bear any time.
        return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        try:
            # See that they belong together, as they do not when only one of two files has been replaced yet.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.cert, files.key, password=_no_password)
            if files.client_ca is not None:
                context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is one of the former
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CertificateRefused(f"{files.cert} and {files.key} cannot be used: {why}") from None
        try:
            pair = (files.key.read_bytes(), files.cert.read_bytes())
            roots = files.client_ca.read_bytes() if files.client_ca else None
        except OSError as error:
            raise CertificateRefused(f"{error.filename} cannot be read: {error.strerror}") from None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _no_password() -> str:
    # OpenSSL would ask for it on the terminal.
    raise ValueError("the key is protected by a password")
