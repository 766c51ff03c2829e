"""What a rule is, and how it reads rendered objects."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

Object = Mapping[str, Any]
Objects = Sequence[Mapping[str, Any]]
Rule = Callable[[Objects], Iterator[str]]

SERVER = {"app.kubernetes.io/name": "moa-server"}
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job"}


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods that a workload makes."""

    workload: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of them, those that start first included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def ports(self) -> set[int]:
        return {port["containerPort"] for container in self.containers for port in container.get("ports", ())}

    @property
    def port_names(self) -> dict[str, int]:
        ports = (port for container in self.containers for port in container.get("ports", ()))
        return {port["name"]: port["containerPort"] for port in ports if "name" in port}


def of_kind(objects: Objects, kind: str) -> Iterator[Object]:
    return (found for found in objects if found["kind"] == kind)


def named(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def workloads(objects: Objects) -> Iterator[Pods]:
    for found in objects:
        if found["kind"] in _WORKLOADS:
            template = found["spec"]["template"]
            yield Pods(named(found), template["metadata"]["labels"], template["spec"])


def deployment(objects: Objects) -> Object:
    """Return the server's Deployment."""
    return next(found for found in of_kind(objects, "Deployment") if found["metadata"]["name"] == "moa-server")


def server(objects: Objects) -> Pods:
    """Return the server's pods."""
    return next(pods for pods in workloads(objects) if pods.workload == "Deployment moa-server")


def container(pods: Pods) -> Mapping[str, Any]:
    """Return the server's own container."""
    return next(found for found in pods.containers if found["name"] == "moa-server")


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector, with labels or expressions, takes these labels; an empty one takes all."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions", ()))


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def is_empty(selector: Mapping[str, Any] | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def settings(objects: Objects) -> Mapping[str, Any]:
    """Return the server's configuration, as its pods will read it."""
    return _parsed(settings_text(objects))


@functools.cache
def _parsed(text: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return data


def settings_text(objects: Objects) -> str:
    """Return the file of it."""
    return next(str(one["data"]["moa.yaml"]) for one in of_kind(objects, "ConfigMap") if "moa.yaml" in one["data"])


def pre_stop_s(pods: Pods) -> int:
    """Return how long the server's pods wait before SIGTERM."""
    hook = container(pods).get("lifecycle", {}).get("preStop", {})
    return int(hook.get("sleep", {}).get("seconds", 0))
