"""The configuration file: read once, checked as a whole, and taken over again when it changes."""

from moa_server.settings.catalogue import Catalogue, KnownProvider
from moa_server.settings.check import render_check
from moa_server.settings.load import load
from moa_server.settings.problem import ConfigurationRefused, Problem
from moa_server.settings.reload import Reloader
from moa_server.settings.schema import json_schema
from moa_server.settings.settings import (
    Caller,
    JournalChoice,
    JournalSettings,
    MemoryJournal,
    PostgresJournal,
    ServerSettings,
    Settings,
    SqliteJournal,
    TelemetrySettings,
    Tls,
)

__all__ = [
    "Caller",
    "Catalogue",
    "ConfigurationRefused",
    "JournalChoice",
    "JournalSettings",
    "KnownProvider",
    "MemoryJournal",
    "PostgresJournal",
    "Problem",
    "Reloader",
    "ServerSettings",
    "Settings",
    "SqliteJournal",
    "TelemetrySettings",
    "Tls",
    "json_schema",
    "load",
    "render_check",
]
