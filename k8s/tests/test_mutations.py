"""Each rule turns red for the fault it is there for: faults planted into rendered objects, and into the sources."""

import shutil
from pathlib import Path

import pytest

from k8s.tests import schema
from k8s.tests.faults import PLANTED
from k8s.tests.faults.reach import Change, box, one, pod, policy
from k8s.tests.manifests import K8S, Combination, Objects, objects, parsed, render
from k8s.tests.rules import PRODUCTION_RULES, RULES

EVERYTHING = Combination("prod", ("pod-monitor", "caller", "hpa-inflight", "gateway-api", "envoy-gateway"))
SCALED_BY_KEDA = Combination("prod", ("keda",))


def red(found: Objects) -> set[str]:
    return {rule.__name__ for rule in (*RULES, *PRODUCTION_RULES) if any(rule(found))}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_turns_its_rule_red(fault: str) -> None:
    rule, plant = PLANTED[fault]
    found = objects(EVERYTHING)
    assert red(found) == set()
    plant(found)
    assert rule in red(found)


def test_every_rule_has_a_fault_that_turns_it_red() -> None:
    assert {rule.__name__ for rule in (*RULES, *PRODUCTION_RULES)} == {rule for rule, _ in PLANTED.values()}


def test_replicas_beside_keda_are_found_too() -> None:
    found = objects(SCALED_BY_KEDA)
    one(found, "Deployment")["spec"]["replicas"] = 3
    assert red(found) == {"the_autoscaler_alone_says_how_many"}


MISSPELT: dict[str, Change] = {
    "a container's field": lambda o: box(o).update(readynessProbe=box(o).pop("readinessProbe")),
    "a probe's field": lambda o: box(o)["livenessProbe"].update(failureTreshold=3),
    "a policy's field": lambda o: policy(o, "moa-dns")["egress"][0].update(port=[]),
    "a budget's field": lambda o: one(o, "PodDisruptionBudget")["spec"].update(maxunavailable=1),
    "an autoscaler's field": lambda o: one(o, "HorizontalPodAutoscaler")["spec"].update(minReplica=2),
    "a route's time-outs, which do not exist": lambda o: one(o, "GRPCRoute")["spec"]["rules"][0].update(
        timeouts={"request": "0s"}
    ),
    "a gateway's policy": lambda o: one(o, "BackendTrafficPolicy")["spec"]["timeout"]["http"].update(
        requestTimeOut="0s"
    ),
    "a monitor's field": lambda o: one(o, "PodMonitor")["spec"].update(podMetricsEndpoint=[]),
    "a number that is a text": lambda o: pod(o).update(terminationGracePeriodSeconds="640"),
}


@pytest.mark.parametrize("fault", MISSPELT)
def test_a_misspelt_field_is_refused_by_the_schema(fault: str) -> None:
    found = objects(EVERYTHING)
    MISSPELT[fault](found)
    assert [complaint for each in found for complaint in schema.faults(each)]


def test_labels_that_include_selectors_are_found(tmp_path: Path) -> None:
    """The way in which kustomize itself plants two faults, which every linter passes."""
    tree = tmp_path / "k8s"
    shutil.copytree(K8S, tree, ignore=shutil.ignore_patterns("tests"))
    file = tree / "base" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    assert "includeTemplates: true" in text
    file.write_text(text.replace("includeTemplates: true", "includeSelectors: true"), encoding="utf-8")
    found = red(parsed(render(tree / "overlays" / "prod")))
    assert {"every_pod_can_ask_the_dns", "the_selector_of_the_server_is_its_name_alone"} <= found
