"""Reads an address to listen on."""

import re
from ipaddress import ip_address

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([A-Za-z0-9_.*-]*)):([0-9]{1,5})", re.ASCII)
_RIGHT = "write host:port, such as 127.0.0.1:50051 or [::1]:50051"


def checked(address: str) -> str:
    """Return an address that can be listened on.

    Raises:
        ValueError: it is none.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or not host_of(address) or int(found[3]) > 65535:  # noqa: PLR2004 - the last port
        raise ValueError(f"is not an address; {_RIGHT}")
    if found[1] is not None:
        _check_ip(found[1])
    return address


def host_of(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address."""
    host = host_of(address)
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_ip(host: str) -> None:
    try:
        ip_address(host)
    except ValueError:
        raise ValueError(f"is not an address; {_RIGHT}") from None
