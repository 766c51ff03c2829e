"""Each rule turns red for the fault it is there for: faults planted into rendered objects, and into the sources."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k8s.tests import schema
from k8s.tests.rendering import K8S, Combination, Objects, objects, parsed, render
from k8s.tests.rules import PRODUCTION_RULES, RULES

EVERYTHING = Combination("prod", ("pod-monitor", "caller", "hpa-inflight", "gateway-api", "envoy-gateway"))
SCALED_BY_KEDA = Combination("prod", ("keda",))
Change = Callable[[Objects], object]


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
DNS_POISONED = {"k8s-app": "kube-dns", "app.kubernetes.io/part-of": "moa"}

# The rule that has to complain, and the fault.
PLANTED: dict[str, tuple[str, Change]] = {
    "a budget without a selector": (
        "the_disruption_budget_selects_the_server",
        lambda o: one(o, "PodDisruptionBudget")["spec"].pop("selector"),
    ),
    "a budget that selects nothing": (
        "the_disruption_budget_selects_the_server",
        lambda o: one(o, "PodDisruptionBudget")["spec"]["selector"].update(matchLabels=TYPO),
    ),
    "a budget that selects everything": (
        "the_disruption_budget_selects_the_server",
        lambda o: one(o, "PodDisruptionBudget")["spec"].update(selector={}),
    ),
    "a budget that protects sick pods": (
        "the_disruption_budget_selects_the_server",
        lambda o: one(o, "PodDisruptionBudget")["spec"].pop("unhealthyPodEvictionPolicy"),
    ),
    "a budget that allows no eviction": (
        "the_disruption_budget_selects_the_server",
        lambda o: one(o, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ),
    "a poisoned DNS egress": (
        "every_pod_can_ask_the_dns",
        lambda o: policy(o, "moa-dns")["egress"][0]["to"][0]["podSelector"].update(matchLabels=DNS_POISONED),
    ),
    "DNS over UDP only": (
        "every_pod_can_ask_the_dns",
        lambda o: policy(o, "moa-dns")["egress"][0]["ports"].pop(),
    ),
    "DNS for the server only": (
        "every_pod_can_ask_the_dns",
        lambda o: policy(o, "moa-dns").update(podSelector={"matchLabels": {"app.kubernetes.io/name": "moa-server"}}),
    ),
    "replicas beside an autoscaler": (
        "the_autoscaler_alone_says_how_many",
        lambda o: one(o, "Deployment")["spec"].update(replicas=3),
    ),
    "an autoscaler of something else": (
        "there_is_one_autoscaler_and_it_scales_the_server",
        lambda o: one(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="moa"),
    ),
    "two autoscalers": (
        "there_is_one_autoscaler_and_it_scales_the_server",
        lambda o: o.append(copy.deepcopy(one(o, "HorizontalPodAutoscaler"))),
    ),
    "a single pod": (
        "there_are_always_two_pods",
        lambda o: one(o, "HorizontalPodAutoscaler")["spec"].update(minReplicas=1),
    ),
    "an autoscaler that shrinks at once": (
        "scaling_is_quick_up_and_slow_down",
        lambda o: one(o, "HorizontalPodAutoscaler")["spec"]["behavior"].pop("scaleDown"),
    ),
    "CPU measured without a request": (
        "a_utilisation_has_a_request_to_be_measured_by",
        lambda o: box(o)["resources"]["requests"].pop("cpu"),
    ),
    "a monitor that names no port": (
        "monitors_name_a_port_of_the_pods_they_select",
        lambda o: one(o, "PodMonitor")["spec"]["podMetricsEndpoints"][0].pop("port"),
    ),
    "a monitor of a port that is not there": (
        "monitors_name_a_port_of_the_pods_they_select",
        lambda o: one(o, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(port="http-metrics"),
    ),
    "a monitor that selects nothing": (
        "monitors_name_a_port_of_the_pods_they_select",
        lambda o: one(o, "PodMonitor")["spec"]["selector"].update(matchLabels=TYPO),
    ),
    "a grace without room for preStop": (
        "the_pod_outlives_its_longest_stream",
        lambda o: pod(o).update(terminationGracePeriodSeconds=610),
    ),
    "the default grace": (
        "the_pod_outlives_its_longest_stream",
        lambda o: pod(o).pop("terminationGracePeriodSeconds"),
    ),
    "a longer stream in the configuration": (
        "the_pod_outlives_its_longest_stream",
        lambda o: configured(o, "maximum: 600", "maximum: 20m"),
    ),
    "a server that drains too short": (
        "the_server_drains_as_long_as_its_longest_stream",
        lambda o: configured(o, "drain_grace: 600", "drain_grace: 30"),
    ),
    "a server that drains longer than it lives": (
        "the_server_drains_as_long_as_its_longest_stream",
        lambda o: configured(o, "drain_grace: 600", "drain_grace: 700"),
    ),
    "no preStop": (
        "the_endpoints_forget_the_pod_before_sigterm",
        lambda o: box(o).pop("lifecycle"),
    ),
    "connections that never age": (
        "connections_age_without_cutting_streams",
        lambda o: configured(o, "  max_connection_age: 600\n", ""),
    ),
    "an age that cuts streams": (
        "connections_age_without_cutting_streams",
        lambda o: configured(o, "max_connection_age_grace: 660", "max_connection_age_grace: 60"),
    ),
    "a gateway with its own time-out": (
        "gateways_do_not_end_streams",
        lambda o: one(o, "BackendTrafficPolicy")["spec"]["timeout"]["http"].pop("requestTimeout"),
    ),
    "a gateway's policy for another route": (
        "gateways_do_not_end_streams",
        lambda o: one(o, "BackendTrafficPolicy")["spec"]["targetRefs"][0].update(name="moa"),
    ),
    "one probe for both": (
        "liveness_and_readiness_are_not_one",
        lambda o: box(o).update(livenessProbe=box(o)["readinessProbe"]),
    ),
    "liveness that asks for readiness": (
        "each_probe_asks_for_its_own_service",
        lambda o: box(o)["livenessProbe"]["grpc"].update(service="moa.readiness"),
    ),
    "a probe of the overall service": (
        "each_probe_asks_for_its_own_service",
        lambda o: box(o)["readinessProbe"]["grpc"].pop("service"),
    ),
    "no start-up probe": ("each_probe_asks_for_its_own_service", lambda o: box(o).pop("startupProbe")),
    "a probe at another port": (
        "probes_ask_where_the_server_listens",
        lambda o: box(o)["readinessProbe"]["grpc"].update(port=50051),
    ),
    "health on loopback": (
        "probes_ask_where_the_server_listens",
        lambda o: configured(o, "health_listen: 0.0.0.0:50052", "health_listen: 127.0.0.1:50052"),
    ),
    "a hasty death": (
        "a_long_start_is_no_failure_and_a_short_fault_no_death",
        lambda o: box(o)["livenessProbe"].update(failureThreshold=1),
    ),
    "a readiness that lags": (
        "a_pod_that_drains_is_noticed_before_it_ends",
        lambda o: box(o)["readinessProbe"].update(periodSeconds=30),
    ),
    "another port in the configuration": (
        "the_ports_are_those_of_the_configuration",
        lambda o: configured(o, "listen: 0.0.0.0:50051", "listen: 0.0.0.0:50061"),
    ),
    "a service with a typing mistake": (
        "services_select_one_workload",
        lambda o: one(o, "Service")["spec"].update(selector=TYPO),
    ),
    "a service without a selector": (
        "services_of_the_server_select_it",
        lambda o: one(o, "Service", "moa-server-headless")["spec"].pop("selector"),
    ),
    "a service that selects everything of ours": (
        "services_select_one_workload",
        lambda o: one(o, "Service")["spec"].update(selector={"app.kubernetes.io/part-of": "moa"}),
    ),
    "a service with a port that is not there": (
        "services_select_one_workload",
        lambda o: one(o, "Service")["spec"]["ports"][0].update(targetPort="http"),
    ),
    "a headless service with an address": (
        "services_of_the_server_select_it",
        lambda o: one(o, "Service", "moa-server-headless")["spec"].pop("clusterIP"),
    ),
    "a service that hides its protocol": (
        "services_of_the_server_select_it",
        lambda o: one(o, "Service")["spec"]["ports"][0].pop("appProtocol"),
    ),
    "a deployment that selects other pods": (
        "workloads_select_their_own_pods",
        lambda o: one(o, "Deployment")["spec"]["selector"].update(matchLabels=TYPO),
    ),
    "a deployment that selects by a version": (
        "the_selector_of_the_server_is_its_name_alone",
        lambda o: one(o, "Deployment")["spec"]["selector"]["matchLabels"].update(version="1"),
    ),
    "a spread that counts the old pods": (
        "topology_spread_counts_the_new_pods_of_the_server",
        lambda o: pod(o)["topologySpreadConstraints"][0].pop("matchLabelKeys"),
    ),
    "a spread that counts nothing": (
        "topology_spread_counts_the_new_pods_of_the_server",
        lambda o: pod(o)["topologySpreadConstraints"][1].pop("labelSelector"),
    ),
    "a route to another port": (
        "routes_lead_to_a_port_of_a_service",
        lambda o: one(o, "GRPCRoute")["spec"]["rules"][0]["backendRefs"][0].update(port=443),
    ),
    "surge and unavailable both 0": (
        "a_roll_out_adds_before_it_takes_away",
        lambda o: rolling(o).update(maxSurge=0),
    ),
    "a roll-out that takes away first": (
        "a_roll_out_adds_before_it_takes_away",
        lambda o: rolling(o).update(maxUnavailable=1),
    ),
    "a tag in production": (
        "production_runs_the_server_by_digest",
        lambda o: box(o).update(image="registry.example/moa-server:0.1.0"),
    ),
    "no tag": ("images_have_a_tag_or_a_digest", lambda o: box(o).update(image="moa-server")),
    "the latest": ("images_have_a_tag_or_a_digest", lambda o: box(o).update(image="moa-server:latest")),
    "root": ("pods_are_restricted", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    "no seccomp profile": ("pods_are_restricted", lambda o: pod(o)["securityContext"].pop("seccompProfile")),
    "the host's network": ("pods_are_restricted", lambda o: pod(o).update(hostNetwork=True)),
    "a path of the host": (
        "pods_are_restricted",
        lambda o: pod(o)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ),
    "a privileged container": (
        "pods_are_restricted",
        lambda o: box(o)["securityContext"].update(privileged=True),
    ),
    "capabilities of a sidecar": (
        "pods_are_restricted",
        lambda o: pod(o)["initContainers"][0]["securityContext"].pop("capabilities"),
    ),
    "a writable root": (
        "pods_are_restricted",
        lambda o: box(o)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "a namespace that only warns": (
        "the_namespace_enforces_the_restricted_standard",
        lambda o: one(o, "Namespace", "moa")["metadata"]["labels"].pop("pod-security.kubernetes.io/enforce"),
    ),
    "no namespace": (
        "the_namespace_enforces_the_restricted_standard",
        lambda o: without(o, "Namespace", "moa"),
    ),
    "an object elsewhere": (
        "everything_is_in_the_namespace",
        lambda o: one(o, "Service")["metadata"].update(namespace="default"),
    ),
    "a token": (
        "pods_hold_no_token_and_no_list_of_services",
        lambda o: pod(o).pop("automountServiceAccountToken"),
    ),
    "service links": (
        "pods_hold_no_token_and_no_list_of_services",
        lambda o: pod(o).pop("enableServiceLinks"),
    ),
    "a CPU limit": (
        "memory_is_limited_and_cpu_is_not",
        lambda o: box(o)["resources"]["limits"].update(cpu="2"),
    ),
    "no memory limit": (
        "memory_is_limited_and_cpu_is_not",
        lambda o: box(o)["resources"]["limits"].pop("memory"),
    ),
    "a secret that all can read": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: volume(o, "model-keys")["secret"].update(defaultMode=0o644),
    ),
    "a secret in the environment": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: environment(o).append(
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "moa-model-keys", "key": "models-example"}}}
        ),
    ),
    "secrets that the server cannot read": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: pod(o)["securityContext"].pop("fsGroup"),
    ),
    "no termination message": (
        "a_server_that_cannot_start_says_why",
        lambda o: box(o).pop("terminationMessagePolicy"),
    ),
    "endless scratch space": ("scratch_space_is_bounded", lambda o: volume(o, "tmp").update(emptyDir={})),
    "no default policy": (
        "everything_is_denied_unless_opened",
        lambda o: without(o, "NetworkPolicy", "moa-default-deny"),
    ),
    "a default policy for one direction": (
        "everything_is_denied_unless_opened",
        lambda o: policy(o, "moa-default-deny")["policyTypes"].pop(),
    ),
    "a policy that lets anyone in": (
        "no_rule_is_open_to_all",
        lambda o: policy(o, "moa-server-callers")["ingress"][0].pop("from"),
    ),
    "a policy that lets out to any port": (
        "no_rule_is_open_to_all",
        lambda o: policy(o, "moa-server-models")["egress"][0].pop("ports"),
    ),
    "a policy that selects nothing": (
        "policies_select_pods_that_are_there",
        lambda o: policy(o, "moa-server-callers").update(podSelector={"matchLabels": TYPO}),
    ),
    "a policy for peers that are not there": (
        "policies_select_pods_that_are_there",
        lambda o: policy(o, "moa-caller")["egress"][0]["to"][0]["podSelector"].update(matchLabels=TYPO),
    ),
    "a policy with a port's name": (
        "ports_are_numbers",
        lambda o: policy(o, "moa-server-callers")["ingress"][0]["ports"][0].update(port="grpc"),
    ),
    "a policy for a port that is not there": (
        "ports_let_in_are_ports_of_the_pods",
        lambda o: policy(o, "moa-server-callers")["ingress"][0]["ports"][0].update(port=50061),
    ),
    "models with private networks": (
        "models_are_reached_and_private_networks_are_not",
        lambda o: policy(o, "moa-server-models")["egress"][0]["to"][0]["ipBlock"]["except"].remove("10.0.0.0/8"),
    ),
    "models with the metadata service": (
        "metadata_services_are_out_of_reach",
        lambda o: policy(o, "moa-server-models")["egress"][0]["to"][0]["ipBlock"]["except"].remove("169.254.0.0/16"),
    ),
    "no models": (
        "models_are_reached_and_private_networks_are_not",
        lambda o: without(o, "NetworkPolicy", "moa-server-models"),
    ),
    "a model at a port that is closed": (
        "models_in_the_cluster_can_be_reached",
        lambda o: configured(o, "https://models.example/v1", "https://models.example:8443/v1"),
    ),
    "a model that is no service": (
        "models_in_the_cluster_can_be_reached",
        lambda o: configured(o, "https://models.example/v1", "http://vllm:443/v1"),
    ),
    "no callers": (
        "callers_can_come_in",
        lambda o: without(o, "NetworkPolicy", "moa-server-callers"),
    ),
    "no way to PostgreSQL": (
        "postgres_can_be_reached_where_it_is_used",
        lambda o: without(o, "NetworkPolicy", "moa-postgres-clients"),
    ),
    "no way for telemetry": (
        "telemetry_can_leave",
        lambda o: without(o, "NetworkPolicy", "moa-server-otlp"),
    ),
    "a configuration that is not there": (
        "a_changed_configuration_is_a_roll_out",
        lambda o: volume(o, "config")["configMap"].update(name="moa-config"),
    ),
    "a configuration at another path": (
        "the_server_reads_the_file_that_is_mounted",
        lambda o: box(o).update(args=["serve", "--config", "/etc/moa/config.yaml"]),
    ),
    "a secret that is not mounted": (
        "secrets_that_the_configuration_names_are_mounted",
        lambda o: configured(o, "/run/secrets/moa/models/", "/run/secrets/models/"),
    ),
    "a journal that is not shared": (
        "the_journal_is_shared_where_there_is_a_database",
        lambda o: configured(
            o, "journal:\n  postgres:\n    dsn:\n      file: /run/secrets/moa/postgres/dsn", "journal: {memory: {}}"
        ),
    ),
    "a schema that nobody migrates": (
        "the_journal_is_shared_where_there_is_a_database",
        lambda o: without(o, "Job", "moa-migrate"),
    ),
    "a log for people": ("the_log_is_for_machines", lambda o: configured(o, "log_form: json", "log_form: auto")),
    "a variable before those it is made of": (
        "variables_come_after_those_they_are_made_of",
        lambda o: environment(o).reverse(),
    ),
    "telemetry without the pod's name": (
        "telemetry_says_which_pod_it_comes_from",
        lambda o: environment(o).remove(next(x for x in environment(o) if x["name"] == "OTEL_RESOURCE_ATTRIBUTES")),
    ),
    "a source that is applied": (
        "nothing_is_applied_that_is_only_a_source",
        lambda o: one(o, "ConfigMap", "moa-config")["metadata"].update(
            annotations={"config.kubernetes.io/local-config": "true"}
        ),
    ),
    "a caller of the cluster IP": (
        "callers_balance_over_all_pods",
        lambda o: one(o, "Deployment", "moa-caller")["spec"]["template"]["spec"]["containers"][0]["env"][0].update(
            value="moa-server:50051"
        ),
    ),
}


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


def test_an_overlay_without_the_marks_of_the_journal_is_found(tmp_path: Path) -> None:
    tree = tmp_path / "k8s"
    shutil.copytree(K8S, tree, ignore=shutil.ignore_patterns("tests"))
    file = tree / "overlays" / "prod" / "moa.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("# journal\n", ""), encoding="utf-8")
    assert "the_journal_is_shared_where_there_is_a_database" in red(parsed(render(tree / "overlays" / "prod")))
