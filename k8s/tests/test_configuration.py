"""What the pods will read is what the server accepts."""

import subprocess
import sys
from pathlib import Path

import pytest

from k8s.tests.manifests import OVERLAYS, Combination, objects
from k8s.tests.rules.rule import settings_text

_MOUNTED = "/run/secrets/moa/"
_SECRETS = {"models/models-example": "a-key", "postgres/dsn": "postgresql://moa:secret@database:5432/moa"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, content in _SECRETS.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text(content, encoding="utf-8")
    return tmp_path


def check(text: str, secrets: Path) -> subprocess.CompletedProcess[str]:
    """Let the server's own command judge a configuration, with the secrets of a folder."""
    file = secrets / "moa.yaml"
    file.write_text(text.replace(_MOUNTED, f"{secrets}/"), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("moa-server")), "check", "--config", str(file)]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_accepts_the_configuration(overlay: str, secrets: Path) -> None:
    done = check(settings_text(objects(Combination(overlay))), secrets)
    assert done.returncode == 0, done.stderr
    assert "(default)" in done.stdout


@pytest.mark.parametrize(
    ("was", "is_now", "complaint"),
    [
        ("maximum: 600", "maximun: 600", "limits.run_time.maximun"),
        ("drain_grace: 600", "drain_grace: soon", "server.drain_grace"),
        ("aggregator: editor", "aggregator: editro", "mixtures.default.aggregator"),
        ("window: 131072", "window: 1024", "agents.thorough.sampling.max_tokens"),
        ("models/models-example", "models/none", "models.small.api_key"),
        ("# journal\njournal:", "journal:\n  memory: {}\njournal:", "journal"),
    ],
)
def test_the_server_refuses_a_configuration_with_a_fault(was: str, is_now: str, complaint: str, secrets: Path) -> None:
    text = settings_text(objects(Combination("prod")))
    assert was in text
    done = check(text.replace(was, is_now), secrets)
    assert done.returncode == 1
    assert complaint in done.stderr
