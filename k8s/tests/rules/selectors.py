"""Selectors select what they are meant to, and nothing else."""

from collections.abc import Iterator

from k8s.tests.rules.rule import (
    SERVER,
    Objects,
    Rule,
    deployment,
    is_empty,
    matches,
    named,
    of_kind,
    server,
    workloads,
)


def services_select_one_workload(objects: Objects) -> Iterator[str]:
    for service in of_kind(objects, "Service"):
        selector = {"matchLabels": service["spec"].get("selector")}
        selected = [pods for pods in workloads(objects) if selector["matchLabels"] and matches(selector, pods.labels)]
        if len(selected) != 1:
            yield f"{named(service)} selects {[pods.workload for pods in selected] or 'nothing'}"
            continue
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in {*selected[0].port_names, *selected[0].ports}:
                yield f"{named(service)} targets port {port['targetPort']}, which no container has"


def services_of_the_server_select_it(objects: Objects) -> Iterator[str]:
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(objects, "Service")}
    for name in ("moa-server", "moa-server-headless"):
        spec = services.get(name)
        if spec is None:
            yield f"there is no Service {name}"
        elif spec.get("selector") != SERVER:
            yield f"Service {name} does not select the server"
        elif [port.get("appProtocol") for port in spec["ports"]] != ["kubernetes.io/h2c"]:
            yield f"Service {name} does not say that it speaks HTTP/2"
    if services.get("moa-server-headless", {}).get("clusterIP") != "None":
        yield "Service moa-server-headless has an address of its own"
    if services.get("moa-server", {}).get("clusterIP") == "None":
        yield "Service moa-server has no address"


def workloads_select_their_own_pods(objects: Objects) -> Iterator[str]:
    for kind in ("Deployment", "StatefulSet"):
        for found in of_kind(objects, kind):
            selected = [pods.workload for pods in workloads(objects) if matches(found["spec"]["selector"], pods.labels)]
            if selected != [named(found)]:
                yield f"{named(found)} selects {selected or 'nothing'}"


def the_disruption_budget_selects_the_server(objects: Objects) -> Iterator[str]:
    budgets = list(of_kind(objects, "PodDisruptionBudget"))
    if not budgets:
        yield "there is no PodDisruptionBudget"
    for budget in budgets:
        selector = budget["spec"].get("selector")
        selected = [pods.workload for pods in workloads(objects) if matches(selector, pods.labels)]
        if is_empty(selector) or selected != ["Deployment moa-server"]:
            yield f"{named(budget)} selects {selected if not is_empty(selector) else 'by nothing'}"
        if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{named(budget)} lets a pod that is not ready hold up the drain of its node"
        if budget["spec"].get("maxUnavailable") in {None, 0, "0%"}:
            yield f"{named(budget)} never allows an eviction"


def topology_spread_counts_the_new_pods_of_the_server(objects: Objects) -> Iterator[str]:
    pods = server(objects)
    constraints = pods.spec.get("topologySpreadConstraints", ())
    if {constraint["topologyKey"] for constraint in constraints} < {"kubernetes.io/hostname"}:
        yield "the server's pods are not spread over nodes"
    for constraint in constraints:
        if is_empty(constraint.get("labelSelector")) or not matches(constraint["labelSelector"], pods.labels):
            yield f"the spread over {constraint['topologyKey']} does not count the server's pods"
        if constraint.get("matchLabelKeys") != ["pod-template-hash"]:
            yield f"the spread over {constraint['topologyKey']} counts the pods of the old ReplicaSet"


def monitors_name_a_port_of_the_pods_they_select(objects: Objects) -> Iterator[str]:
    for monitor in of_kind(objects, "PodMonitor"):
        selected = [pods for pods in workloads(objects) if matches(monitor["spec"].get("selector"), pods.labels)]
        if [pods.workload for pods in selected] != ["Deployment moa-server"]:
            yield f"{named(monitor)} selects {[pods.workload for pods in selected] or 'nothing'}"
            continue
        for endpoint in monitor["spec"].get("podMetricsEndpoints") or [{}]:
            if endpoint.get("port") not in selected[0].port_names:
                yield f"{named(monitor)} scrapes port {endpoint.get('port')!r}, which no container names"


def routes_lead_to_a_port_of_a_service(objects: Objects) -> Iterator[str]:
    services = {
        one["metadata"]["name"]: [p["port"] for p in one["spec"]["ports"]] for one in of_kind(objects, "Service")
    }
    for route in of_kind(objects, "GRPCRoute"):
        for backend in (backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]):
            if backend["port"] not in services.get(backend["name"], ()):
                yield f"{named(route)} leads to {backend['name']}:{backend['port']}, which is no Service's"


def the_selector_of_the_server_is_its_name_alone(objects: Objects) -> Iterator[str]:
    """A Deployment's selector can never be changed: it must not hold a label that might."""
    if deployment(objects)["spec"]["selector"] != {"matchLabels": SERVER}:
        yield "Deployment moa-server selects by more than its name"


RULES: tuple[Rule, ...] = (
    services_select_one_workload,
    services_of_the_server_select_it,
    workloads_select_their_own_pods,
    the_disruption_budget_selects_the_server,
    topology_spread_counts_the_new_pods_of_the_server,
    monitors_name_a_port_of_the_pods_they_select,
    routes_lead_to_a_port_of_a_service,
    the_selector_of_the_server_is_its_name_alone,
)
