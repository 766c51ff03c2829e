"""One autoscaler owns the number of pods, and a roll-out never has fewer than it says."""

from collections.abc import Iterator
from typing import Any

from k8s.tests.rules.rule import Object, Objects, Rule, deployment, named, of_kind
from moa_server.telemetry.names import OPEN_RUNS


def _autoscalers(objects: Objects) -> list[Object]:
    return [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]


def the_autoscaler_alone_says_how_many(objects: Objects) -> Iterator[str]:
    targets = {
        f"{one['spec']['scaleTargetRef']['kind']} {one['spec']['scaleTargetRef']['name']}"
        for one in _autoscalers(objects)
    }
    for found in objects:
        if named(found) in targets and "replicas" in found["spec"]:
            yield f"{named(found)} has replicas beside its autoscaler"


def there_is_one_autoscaler_and_it_scales_the_server(objects: Objects) -> Iterator[str]:
    targets = [one["spec"]["scaleTargetRef"] for one in _autoscalers(objects)]
    if [(target["kind"], target["name"]) for target in targets] != [("Deployment", "moa-server")]:
        yield f"the autoscalers scale {targets or 'nothing'}"


def there_are_always_two_pods(objects: Objects) -> Iterator[str]:
    for scaler in _autoscalers(objects):
        spec = scaler["spec"]
        least = spec.get("minReplicas", spec.get("minReplicaCount", 0))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount", 0))
        if not 2 <= least < most:
            yield f"{named(scaler)} scales from {least} to {most}"


def scaling_is_quick_up_and_slow_down(objects: Objects) -> Iterator[str]:
    for scaler in _autoscalers(objects):
        behavior: dict[str, Any] = scaler["spec"].get("behavior") or (
            scaler["spec"].get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
        )
        up = behavior.get("scaleUp", {}).get("stabilizationWindowSeconds")
        down = behavior.get("scaleDown", {}).get("stabilizationWindowSeconds")
        if up != 0 or down is None or down < 300:
            yield f"{named(scaler)} waits {up} s before it grows and {down} s before it shrinks"


def open_runs_are_measured_by_the_name_they_have(objects: Objects) -> Iterator[str]:
    """A gauge without a unit of its own keeps its name in Prometheus, dots apart."""
    name = OPEN_RUNS.replace(".", "_")
    for scaler in _autoscalers(objects):
        for metric in scaler["spec"].get("metrics", ()):
            said = metric.get("pods", {}).get("metric", {}).get("name", name)
            if said != name:
                yield f"{named(scaler)} measures {said}, where open runs are {name}"
        for trigger in scaler["spec"].get("triggers", ()):
            if f"{name}{{" not in trigger["metadata"]["query"]:
                yield f"{named(scaler)} asks for {trigger['metadata']['query']}, where open runs are {name}"


def a_utilisation_has_a_request_to_be_measured_by(objects: Objects) -> Iterator[str]:
    containers = {one["name"]: one for one in deployment(objects)["spec"]["template"]["spec"]["containers"]}
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            resource = metric.get("containerResource")
            if resource is None:
                continue
            requests = containers.get(resource["container"], {}).get("resources", {}).get("requests", {})
            if resource["name"] not in requests:
                yield f"{named(scaler)} measures {resource['name']} of {resource['container']}, which requests none"


def a_roll_out_adds_before_it_takes_away(objects: Objects) -> Iterator[str]:
    strategy = deployment(objects)["spec"].get("strategy", {})
    rolling = strategy.get("rollingUpdate", {})
    if strategy.get("type") != "RollingUpdate":
        yield "Deployment moa-server does not roll"
    if rolling.get("maxUnavailable") not in {0, "0%"}:
        yield "Deployment moa-server takes a pod away before its successor is ready"
    elif rolling.get("maxSurge") in {None, 0, "0%"}:
        yield "Deployment moa-server may neither add nor take away a pod"


RULES: tuple[Rule, ...] = (
    the_autoscaler_alone_says_how_many,
    there_is_one_autoscaler_and_it_scales_the_server,
    there_are_always_two_pods,
    scaling_is_quick_up_and_slow_down,
    open_runs_are_measured_by_the_name_they_have,
    a_utilisation_has_a_request_to_be_measured_by,
    a_roll_out_adds_before_it_takes_away,
)
