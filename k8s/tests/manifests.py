"""Renders the overlays, alone and with every set of components that can be added to them."""

import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s.tests.kubectl import kubectl

K8S = Path(__file__).resolve().parents[1]
OVERLAYS = ("local", "staging", "prod")

Objects = list[dict[str, Any]]

_SCALING = ((), ("hpa-inflight",), ("keda",))
_GATEWAY = ((), ("gateway-api",), ("gateway-api", "envoy-gateway"))
_SINGLE = ("pod-monitor", "otel", "postgres", "caller")
_DEVELOPMENT = ((), ("dev-postgres",), ("dev-model",), ("dev-postgres", "dev-model"))


@dataclass(frozen=True, slots=True)
class Combination:
    """An overlay, and the components that are added to those it has."""

    overlay: str
    components: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join((self.overlay, *self.components))


def combinations() -> Iterator[Combination]:
    """Return every combination that makes sense: no component twice, one autoscaler, no stand-ins in production."""
    for overlay in OVERLAYS:
        has = components_of(overlay)
        singles = [((), (name,)) for name in _SINGLE if name not in has]
        development = [()] if overlay == "prod" else [d for d in _DEVELOPMENT if not has & set(d)]
        for parts in itertools.product(*singles, _SCALING, _GATEWAY, development):
            yield Combination(overlay, tuple(itertools.chain.from_iterable(parts)))


def components_of(overlay: str) -> set[str]:
    """Return the components that an overlay has of itself."""
    text = (K8S / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
    return {Path(path).name for path in yaml.safe_load(text)["components"]}


@functools.cache
def rendered(combination: Combination) -> str:
    """Return what would be applied if the components stood in the overlay's own list."""
    overlay = K8S / "overlays" / combination.overlay
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "overlay"
        shutil.copytree(overlay, folder)
        file = folder / "kustomization.yaml"
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        document["components"] += [f"../../components/{component}" for component in combination.components]
        for key in ("resources", "components"):
            document[key] = [os.path.relpath(overlay / path, folder) for path in document[key]]
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return render(folder)


def render(folder: Path) -> str:
    """Return what kubectl makes of a folder.

    Raises:
        subprocess.CalledProcessError: it is refused; the reason is in its `stderr`.
    """
    lavish = {**os.environ, "GOGC": "off"}  # it is over before collecting garbage is worth its time
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, check=True, text=True, env=lavish)
    return done.stdout


def objects(combination: Combination) -> Objects:
    """Return what would be applied, parsed: fresh ones, which a test may change."""
    return parsed(rendered(combination))


def parsed(text: str) -> Objects:
    """Return the objects of a rendering."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))
