"""Finds, in rendered objects, the places where faults are planted."""

from collections.abc import Callable
from typing import Any

from k8s.tests.manifests import Objects

Change = Callable[[Objects], object]
Planted = dict[str, tuple[str, Change]]
"""By what the fault is: the rule that has to complain, and how it is planted."""


def one(found: Objects, kind: str, name: str = "moa-server") -> dict[str, Any]:
    """Return the object of a kind and a name."""
    return next(x for x in found if x["kind"] == kind and x["metadata"]["name"].startswith(name))


def pod(found: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = one(found, "Deployment")["spec"]["template"]["spec"]
    return spec


def box(found: Objects) -> dict[str, Any]:
    container: dict[str, Any] = next(x for x in pod(found)["containers"] if x["name"] == "moa-server")
    return container


def rolling(found: Objects) -> dict[str, Any]:
    update: dict[str, Any] = one(found, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    return update


def configured(found: Objects, was: str, is_now: str) -> None:
    data = one(found, "ConfigMap", "moa-config")["data"]
    assert was in data["moa.yaml"]
    data["moa.yaml"] = data["moa.yaml"].replace(was, is_now)


def volume(found: Objects, name: str) -> dict[str, Any]:
    mounted: dict[str, Any] = next(x for x in pod(found)["volumes"] if x["name"] == name)
    return mounted


def without(found: Objects, kind: str, name: str = "moa-server") -> None:
    found.remove(one(found, kind, name))


def policy(found: Objects, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(found, "NetworkPolicy", name)["spec"]
    return spec


def environment(found: Objects) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = box(found)["env"]
    return variables


TYPO = {"app.kubernetes.io/name": "moa-sever"}
