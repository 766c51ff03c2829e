"""Durations, sizes, money, names and addresses, as people write them."""

import re
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from moa_server.domain.quantities import Form

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,9})?"
_DURATION = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,12}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NANO = 10**9
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([A-Za-z0-9_.*-]*)):([0-9]{1,5})", re.ASCII)
_LAST_PORT = 65535
_MOST_DOLLARS = 1_000_000


def seconds(value: Any) -> float:  # noqa: ANN401 - whatever stands in the file
    """Return a duration in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a duration; write seconds such as 5, or a text such as 500ms, 5s or 2m")
    return float(Decimal(found[1]) * Decimal(str(_SECONDS[found[3]])))


def size(value: Any) -> int:  # noqa: ANN401 - whatever stands in the file
    """Return a size in bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a size; write bytes such as 4096, or a text such as 64KiB or 1MiB")
    return int(found[1]) * _BYTES[found[2]]


def nanodollars(value: Any) -> int:  # noqa: ANN401 - whatever stands in the file
    """Return an amount of US dollars in billionths, exactly."""
    amount = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(InvalidOperation):
            # The shortest text of a float is what stood in the file, so nothing is lost.
            amount = Decimal(str(value))
    # Whether it is finite comes first: no number compares with NaN.
    if amount is None or not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        raise ValueError(f"is not an amount of US dollars from 0 to {_MOST_DOLLARS}; write a number such as 0.15")
    nano = amount * _NANO
    if nano != int(nano):
        raise ValueError("has more than nine decimals; round it to billionths of a US dollar")
    return int(nano)


def sound_url(url: str) -> str:
    """Return the base URL of an endpoint.

    Raises:
        ValueError: it is none, or holds what does not belong there.
    """
    right = "write a URL such as https://models.example/v1"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {right}") from None
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ValueError(f"is not a URL of http or https; {right}")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"holds credentials or a fragment; {right}, and give the key as api_key")
    return url


def check_address(address: str) -> None:
    """Let an address pass that can be listened on.

    Raises:
        ValueError: it is none.
    """
    found = _ADDRESS.fullmatch(address)
    sound = found is not None and (found[1] or found[2]) and int(found[3]) <= _LAST_PORT
    try:
        if found is not None and found[1] is not None:
            ip_address(found[1])
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("is not an address; write host:port, such as 127.0.0.1:50051 or [::1]:50051")


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _or_text(kind: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind, "minimum": 0}, {"type": "string", "pattern": f"^{pattern}$"}]})


FORMS: Final[Mapping[Form, tuple[Any, ...]]] = {
    Form.SECONDS: (BeforeValidator(seconds), _or_text("number", _DURATION.pattern)),
    Form.BYTES: (BeforeValidator(size), _or_text("integer", _SIZE.pattern)),
    Form.NANODOLLARS: (BeforeValidator(nanodollars), _or_text("number", r"[0-9]{1,7}(\.[0-9]{1,9})?")),
    Form.NAME: (Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/@+-]*$"),),
    Form.URL: (AfterValidator(sound_url),),
    Form.ADDRESS: (),
}
"""How pydantic reads each of them."""
