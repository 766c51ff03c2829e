"""A scripted model endpoint on a real socket: it speaks every dialect, and fails in every way that real ones do."""

from tests.upstream.ledger import Call
from tests.upstream.scripts import (
    Cut,
    Drip,
    Endless,
    Events,
    Garbage,
    KeepAlives,
    NotAllowed,
    Raw,
    Redirect,
    Reset,
    Script,
    Silence,
    Speech,
    Status,
    Whole,
)
from tests.upstream.server import Upstream
from tests.upstream.stage import Request, Stage
from tests.upstream.thread import UpstreamThread

__all__ = [
    "Call",
    "Cut",
    "Drip",
    "Endless",
    "Events",
    "Garbage",
    "KeepAlives",
    "NotAllowed",
    "Raw",
    "Redirect",
    "Request",
    "Reset",
    "Script",
    "Silence",
    "Speech",
    "Stage",
    "Status",
    "Upstream",
    "UpstreamThread",
    "Whole",
]
