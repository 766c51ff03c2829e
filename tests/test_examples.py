"""Every example configuration is one that the server takes."""

from pathlib import Path

import pytest
import yaml

from moa_server.cli import main
from moa_server.providers.presets import PRESETS, Preset

EXAMPLES = Path(__file__).parents[1] / "server" / "examples"


def secrets_of(data: object) -> set[str]:
    """The environment variables that a configuration takes its secrets from."""
    if isinstance(data, dict):
        own = {data["env"]} if set(data) == {"env"} else set()
        return own.union(*(secrets_of(value) for value in data.values()))
    return set[str]().union(*map(secrets_of, data)) if isinstance(data, list) else set()


@pytest.mark.parametrize("name", ["published", "providers"])
def test_it_is_checked_and_counted(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLES / f"{name}.yaml"
    data = yaml.safe_load(path.read_text())
    for variable in secrets_of(data):
        monkeypatch.setenv(variable, "of no use")
    main(["check", "--config", str(path)])
    told = capsys.readouterr().out
    assert all(f"{mixture}" in told for mixture in data["mixtures"])
    assert told.count("worst case") == len(data["mixtures"])


def test_every_endpoint_that_is_known_by_name_has_an_example() -> None:
    models = yaml.safe_load((EXAMPLES / "providers.yaml").read_text())["models"]
    known = {name for name, preset in PRESETS.items() if preset != Preset(name)}
    assert {model["provider"] for model in models.values()} == known
