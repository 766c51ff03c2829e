"""The image's recipe: what a linter says, and what it does not know."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.tests.manifests import K8S

ROOT = K8S.parent
BUILDAH = shutil.which("buildah") or ""
DOCKERFILE = ROOT / "server" / "Dockerfile"


def hadolint(file: Path) -> str:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, "--no-color", file], capture_output=True, check=False, text=True).stdout


def test_the_linter_has_nothing_to_say() -> None:
    assert hadolint(DOCKERFILE) == ""


@pytest.mark.parametrize("fault", ["RUN apt-get install curl", "RUN sudo true", "FROM python"])
def test_the_linter_would_say_it(fault: str, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"{DOCKERFILE.read_text(encoding='utf-8')}\n{fault}\n", encoding="utf-8")
    assert hadolint(file)


def instructions() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, rest in re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(word, []).append(rest)
    return found


def test_every_base_is_the_argument_that_a_release_gives_a_digest() -> None:
    assert instructions()["ARG"] == ["PYTHON=python:3.11-slim"]
    assert [base.split()[0] for base in instructions()["FROM"]] == ["${PYTHON}", "${PYTHON}"]


def test_the_server_is_process_one_and_nobody_special() -> None:
    assert instructions()["ENTRYPOINT"] == ['["moa-server"]']
    assert instructions()["CMD"] == ['["serve", "--config", "/etc/moa/moa.yaml"]']
    assert instructions()["USER"] == ["65532:65532"]


def test_everything_that_is_copied_is_let_into_the_build() -> None:
    let_in = {
        line[1:] for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = {path for line in instructions()["COPY"] if "--from" not in line for path in line.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.timeout(900)
@pytest.mark.skipif(not BUILDAH, reason="there is no buildah to build the image with")
@pytest.mark.skipif("MOA_BUILD_IMAGE" not in os.environ, reason="MOA_BUILD_IMAGE=1 builds the image: it loads its base")
def test_the_image_starts_with_a_read_only_root_as_a_foreign_user() -> None:
    image = "moa-server:test"
    subprocess.run([BUILDAH, "build", "--file", DOCKERFILE, "--tag", image, ROOT], check=True)
    made = subprocess.run([BUILDAH, "from", image], capture_output=True, check=True, text=True)
    container = made.stdout.strip()
    try:
        inside = [BUILDAH, "run", "--user", "54321:54321", container, "--"]
        assert (
            "moa-server"
            in subprocess.run([*inside, "moa-server", "--help"], capture_output=True, check=True, text=True).stdout
        )
        bom = subprocess.run([*inside, "cat", "/opt/moa/sbom.cdx.json"], capture_output=True, check=True, text=True)
        assert '"moa-server"' in bom.stdout
        assert subprocess.run([*inside, "touch", "/opt/moa/written"], check=False).returncode != 0
    finally:
        subprocess.run([BUILDAH, "rm", container], check=True)
