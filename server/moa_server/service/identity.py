"""Finds out who makes a call, from its token or from its certificate."""

from typing import Final

from moa_server.security import Callers, Evidence
from moa_server.service.call import Context, RpcCall

_NAMES: Final = ("peer_spiffe_id", "x509_subject_alternative_name", "x509_common_name")
"""Where a certificate's names are, the most telling first."""


class Identity:
    """Tells who makes a call."""

    def __init__(self, callers: Callers, *, certificates: bool = False) -> None:
        """Know ``callers``, and look at ``certificates`` where callers have to bring verified ones."""
        self._callers = callers
        self._certificates = certificates

    def establish(self, call: RpcCall) -> None:
        """Note who makes the call.

        Raises:
            Unauthenticated: nobody that may.
        """
        names = _certificate_names(call.context) if self._certificates else ()
        call.caller = self._callers.identify(Evidence(call.metadata().get("authorization"), names))


def _certificate_names(context: Context) -> tuple[str, ...]:
    shown = context.auth_context()
    return tuple(name.decode(errors="replace") for key in _NAMES for name in shown.get(key, ()))
