"""The whole file."""

from typing import Annotated

from pydantic import Field

from moa_server.settings.mixture_section import AgentSection, MixtureSection
from moa_server.settings.model_section import ModelSection
from moa_server.settings.section import Maybe, Name, Section
from moa_server.settings.server_section import JournalSection, LimitsSection, ServerSection, TelemetrySection


class FileSection(Section):
    """The configuration of a moa server."""

    models: Annotated[dict[Name, ModelSection], Field(min_length=1)]
    """Upstream models by name."""
    agents: Annotated[dict[Name, AgentSection], Field(min_length=1)]
    """Voices by name."""
    mixtures: Annotated[dict[Name, MixtureSection], Field(min_length=1)]
    """Recipes by name."""
    default_mixture: Maybe[Name] = None
    """The mixture of a query that names none; when left out, the first."""
    limits: LimitsSection = LimitsSection()
    """What no run and no caller goes beyond."""
    server: ServerSection = ServerSection()
    """How callers reach the server."""
    telemetry: TelemetrySection = TelemetrySection()
    """What is told of the work."""
    journal: JournalSection = JournalSection()
    """Where runs and their events are kept; when left out, in memory."""
