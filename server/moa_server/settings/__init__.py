"""The configuration file: read once, checked as a whole, and taken over again when it changes.

It knows the shape of the file, its units and the place of each key. It does not know how rooms are opened, nor what a
value of the domain says of itself: sections are derived from those.
"""

from moa_server.settings.check import render_check
from moa_server.settings.key_commands import KeyCommands
from moa_server.settings.load import load
from moa_server.settings.problem import ConfigurationRefused
from moa_server.settings.reload import Reloader
from moa_server.settings.schema import json_schema
from moa_server.settings.settings import Choices, KnownProvider, Settings

__all__ = [
    "Choices",
    "ConfigurationRefused",
    "KeyCommands",
    "KnownProvider",
    "Reloader",
    "Settings",
    "json_schema",
    "load",
    "render_check",
]
