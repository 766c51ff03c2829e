"""A scripted moa for callers' own tests: a real server on loopback, and nothing behind it.

with FakeMoa() as moa, moa.client() as client:
moa.answers("42", proposals={"fast": "41", "wide": "43"})
assert client.query("What is it?").answer.text == "42"
"""

from moa.testing.fake import FakeMoa, Received
from moa.testing.script import Fact, Heartbeat, answered, event_of, failed, numbered

__all__ = ["Fact", "FakeMoa", "Heartbeat", "Received", "answered", "event_of", "failed", "numbered"]
