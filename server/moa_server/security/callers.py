"""Tells who calls, by their tokens and certificates, and what they may do."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from moa_server.domain.errors import PermissionDenied, Unauthenticated
from moa_server.domain.model import Secret
from moa_server.domain.operation import KnownCaller

_BEARER = "bearer "
_MOST_TOKEN_CHARACTERS = 8192
_MOST_NAME_CHARACTERS = 256
_MOST_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """One who calls."""

    name: str
    mixtures: frozenset[str] | None = None
    """The mixtures it may use; None means all."""

    def may_use(self, mixture: str) -> bool:
        """Return whether it may use a mixture."""
        return self.mixtures is None or mixture in self.mixtures

    def check_mixture(self, mixture: str) -> None:
        """Let it use a mixture.

        Raises:
            PermissionDenied: it may not, whether there is such a mixture or not.
        """
        if not self.may_use(mixture):
            shown = mixture if len(mixture) <= _MOST_SHOWN else f"{mixture[:_MOST_SHOWN]}…"
            raise PermissionDenied(f"{self.name} may not use the mixture {shown}", metadata={"mixture": shown})


ANONYMOUS = Caller("anonymous")
"""Anyone, where the operator names no callers."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a call brings to prove who makes it."""

    authorization: str | None = None
    """The value of its ``authorization`` metadata."""
    certificate_names: Sequence[str] = ()
    """The names in its verified certificate, the most telling first."""


class Callers:
    """Everyone who may call."""

    def __init__(self, known: Sequence[KnownCaller] = ()) -> None:
        self.replace(known)

    def replace(self, known: Sequence[KnownCaller]) -> None:
        """Know these from now on, and no others."""
        self._tokens = {each.name: each.token for each in known}
        self._by_name = {
            each.name: Caller(each.name, None if each.mixtures is None else frozenset(each.mixtures)) for each in known
        }

    def identify(self, evidence: Evidence) -> Caller:
        """Return who calls.

        A token decides where one is brought; without one, a verified certificate that bears the name of a known caller
        does. Where the operator names no callers, a certificate's own name is taken, and without one everyone is
        anonymous.

        Raises:
            Unauthenticated: callers are named, and this is none of them.
        """
        if not self._by_name:
            named = next(filter(None, evidence.certificate_names), "")
            return Caller(named[:_MOST_NAME_CHARACTERS]) if named else ANONYMOUS
        if evidence.authorization is not None:
            return self._of_token(evidence.authorization)
        for name in evidence.certificate_names:
            if name in self._by_name:
                return self._by_name[name]
        raise Unauthenticated("the call brings no token; send it as authorization: Bearer TOKEN")

    def _of_token(self, authorization: str) -> Caller:
        scheme, token = authorization[: len(_BEARER)], authorization[len(_BEARER) :].strip()
        if scheme.lower() != _BEARER or not token or len(token) > _MOST_TOKEN_CHARACTERS:
            raise Unauthenticated("the authorization is not of the form Bearer TOKEN")
        shown = _digest(token)
        found: Caller | None = None
        for name, kept in self._tokens.items():  # to the end, so that the time taken tells nothing
            right = _revealed(kept)
            if right is not None and hmac.compare_digest(shown, _digest(right)):
                found = found or self._by_name[name]
        if found is None:
            raise Unauthenticated("the token is not that of a known caller")
        return found


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _revealed(secret: Secret) -> str | None:
    """Return a secret as it is now, or None while it cannot be read: its caller then has no valid token."""
    try:
        return secret.reveal() or None
    except ValueError:
        return None
