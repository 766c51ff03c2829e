"""Every example configuration is one that the server takes."""

import os
import re
from pathlib import Path

import pytest
import yaml

from moa_server.cli import main
from moa_server.providers.presets import PRESETS, Preset

EXAMPLES = Path(__file__).parents[1] / "server" / "examples"


def secrets_of(data: object, place: str = "env") -> set[str]:
    """The environment variables that a configuration takes its secrets from; or the programs."""
    if isinstance(data, dict):
        own = {str(data["env"])} if place == "env" and set(data) == {"env"} else set[str]()
        own |= {str(data["command"][0])} if place == "command" and "command" in data else set()
        return own.union(*(secrets_of(value, place) for value in data.values()))
    return set[str]().union(*(secrets_of(part, place) for part in data)) if isinstance(data, list) else set()


@pytest.mark.parametrize("name", ["published", "providers"])
def test_it_is_checked_and_counted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLES / f"{name}.yaml"
    data = yaml.safe_load(path.read_text())
    for variable in secrets_of(data):
        monkeypatch.setenv(variable, "of no use")
    for program in secrets_of(data, "command"):
        (tmp_path / program).symlink_to("/bin/false")  # it is looked for, and not run
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    main(["check", "--config", str(path)])
    told = capsys.readouterr().out
    assert all(f"{mixture}" in told for mixture in data["mixtures"])
    assert told.count("worst case") == len(data["mixtures"])


def test_every_endpoint_that_is_known_by_name_has_an_example() -> None:
    models = yaml.safe_load((EXAMPLES / "providers.yaml").read_text())["models"]
    known = {name for name, preset in PRESETS.items() if preset != Preset(name)}
    assert {model["provider"] for model in models.values()} == known


def test_every_endpoint_that_is_known_by_name_is_in_the_documentation() -> None:
    table = (EXAMPLES.parents[1] / "docs" / "providers.md").read_text()
    told = {name for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    assert told - {"provider"} == {name for name, preset in PRESETS.items() if preset != Preset(name)}
    endpoints = {preset.endpoint for preset in PRESETS.values() if preset.endpoint.startswith("https")}
    assert [endpoint for endpoint in sorted(endpoints) if f"`{endpoint}`" not in table] == []


def test_the_documented_models_are_ones_that_the_server_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in blocks of docs/providers.md that begin with ``models``, each alone."""
    text = (EXAMPLES.parents[1] / "docs" / "providers.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(models:.*?)```", text, re.DOTALL)]
    models = {name: model for block in blocks for name, model in block["models"].items()}
    assert len(models) > 5
    for variable in secrets_of(models):
        monkeypatch.setenv(variable, "of no use")
    for program in secrets_of(models, "command"):
        (tmp_path / program).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    agents = {f"at-{name}": {"model": name} for name in models}
    mixture = {"strategy": "aggregate", "layers": sorted(agents), "aggregator": min(agents)}
    path = tmp_path / "moa.yaml"
    path.write_text(yaml.safe_dump({"models": models, "agents": agents, "mixtures": {"all": mixture}}))
    main(["check", "--config", str(path)])
