"""Tells callers apart by their tokens and certificates."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from moa_server.domain.errors import Unauthenticated
from moa_server.domain.model import Secret
from moa_server.security.caller import ANONYMOUS, Caller

_BEARER = "bearer "
_MOST_TOKEN_CHARACTERS = 8192
_MOST_NAME_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """A caller that the operator names."""

    caller: Caller
    token: Secret


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
        self._known = tuple(known)
        self._by_name: Mapping[str, Caller] = {each.caller.name: each.caller for each in known}

    def identify(self, evidence: Evidence) -> Caller:
        """Return who calls.

        A token decides where one is brought; without one, a verified certificate that bears the name of a known caller
        does. Where the operator names no callers, a certificate's own name is taken, and without one everyone is
        anonymous.

        Raises:
            Unauthenticated: callers are named, and this is none of them.
        """
        if not self._known:
            return _unnamed(evidence)
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
        for known in self._known:  # to the end, so that the time taken tells nothing
            right = _revealed(known.token)
            if right is not None and hmac.compare_digest(shown, _digest(right)):
                found = found or known.caller
        if found is None:
            raise Unauthenticated("the token is not that of a known caller")
        return found


def _unnamed(evidence: Evidence) -> Caller:
    names = [name for name in evidence.certificate_names if name]
    return Caller(names[0][:_MOST_NAME_CHARACTERS]) if names else ANONYMOUS


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _revealed(secret: Secret) -> str | None:
    """Return a secret as it is now, or None while it cannot be read: its caller then has no valid token."""
    try:
        return secret.reveal() or None
    except ValueError:
        return None
