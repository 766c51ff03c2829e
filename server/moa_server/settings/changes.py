"""Finds what of a new configuration only a restart can bring about."""

from collections.abc import Iterator

from moa_server.settings.settings import Settings

_WHEN_OPENED = (
    "listen",
    "tls",
    "reflection",
    "health_listen",
    "max_connection_age_s",
    "max_connection_age_grace_s",
    "drain_grace_s",
)


def needing_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the keys that changed and stay as they were until the server starts anew."""
    return tuple(_changed(old, new))


def _changed(old: Settings, new: Settings) -> Iterator[str]:
    # Connections are made with these when the server opens its ports.
    for key in _WHEN_OPENED:
        if getattr(old.server, key) != getattr(new.server, key):
            yield f"server.{key.removesuffix('_s')}"
    if old.limits != new.limits:
        yield "limits"
    if old.journal != new.journal:
        yield "journal"
    if old.telemetry != new.telemetry:
        yield "telemetry"
