"""Reads a configuration file as settings, or refuses it with everything that is wrong."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec
from moa_server.settings.agents import agent
from moa_server.settings.catalogue import Catalogue
from moa_server.settings.document import read
from moa_server.settings.file_section import FileSection
from moa_server.settings.findings import Findings
from moa_server.settings.fit import Fit
from moa_server.settings.mixtures import Mixtures
from moa_server.settings.models import Models
from moa_server.settings.problem import ConfigurationRefused
from moa_server.settings.process import Server, journal, limits, telemetry
from moa_server.settings.settings import Settings
from moa_server.settings.validated import validated


def load(path: Path, catalogue: Catalogue) -> Settings:
    """Return what a file says.

    Raises:
        ConfigurationRefused: it cannot be served; all its problems are told at once.
    """
    return settings_of(read(path), path.parent, catalogue)


def settings_of(data: dict[str, Any], folder: Path, catalogue: Catalogue) -> Settings:
    """Return what the data of a file in that folder says.

    Raises:
        ConfigurationRefused: it cannot be served; all its problems are told at once.
    """
    file, problems = validated(data)
    findings = Findings(problems)
    if file is None:
        raise ConfigurationRefused(problems)
    settings = _Building(data, folder, catalogue, findings).settings(file)
    if findings.problems:
        raise ConfigurationRefused(findings.problems)
    return settings


class _Building:
    """Makes settings of sections, noting what is wrong on the way."""

    def __init__(self, data: dict[str, Any], folder: Path, catalogue: Catalogue, findings: Findings) -> None:
        self._data = data
        self._folder = folder
        self._catalogue = catalogue
        self._findings = findings

    def settings(self, file: FileSection) -> Settings:
        bounds = limits(file.limits, self._findings)
        models = self._models(file)
        agents = self._agents(file, models)
        server = Server(self._folder, self._names("mixtures"), bounds.run_time.maximum_s, self._findings)
        return Settings(
            models=models,
            agents=agents,
            mixtures=self._mixtures(file, agents, models, bounds),
            default_mixture=self._default(file),
            limits=bounds,
            server=server.settings(file.server),
            telemetry=telemetry(file.telemetry),
            journal=journal(file.journal, self._catalogue, self._folder, self._findings),
        )

    def _models(self, file: FileSection) -> dict[str, ModelSpec]:
        making = Models(self._catalogue, self._folder, self._names("models"), self._findings)
        return {name: making.spec(name, section) for name, section in file.models.items()}

    def _agents(self, file: FileSection, models: dict[str, ModelSpec]) -> dict[str, Agent]:
        names = self._names("models")
        made = (agent(name, section, models, names, self._findings) for name, section in file.agents.items())
        return {one.name: one for one in made}

    def _mixtures(
        self, file: FileSection, agents: dict[str, Agent], models: dict[str, ModelSpec], bounds: Limits
    ) -> dict[str, Mixture]:
        # An agent whose model was refused has no window to check.
        sound = {name: one for name, one in agents.items() if one.model in models}
        fit = Fit(models, bounds)
        making = Mixtures(self._catalogue.strategies, sound, self._names("agents"), fit, self._findings)
        return {name: making.mixture(name, section) for name, section in file.mixtures.items()}

    def _default(self, file: FileSection) -> str:
        if file.default_mixture is None:
            return next(iter(file.mixtures))
        self._findings.named(("default_mixture",), "mixture", file.default_mixture, self._names("mixtures"))
        return file.default_mixture

    def _names(self, key: str) -> Collection[str]:
        """Return all names of a section in their order, those of refused entries too."""
        return tuple(self._data[key])
