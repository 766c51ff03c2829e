"""Network policies deny by default, open what is needed, and open it for real."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from k8s.tests.rules.rule import Object, Objects, Rule, is_empty, matches, named, of_kind, server, settings, workloads

DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
_METADATA = (
    "169.254.169.254",
    "fd00:ec2::254",
    "100.100.100.200",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "64:ff9b::a9fe:a9fe",
    "::ffff:169.254.169.254",
)
"""The addresses, and the forms of IPv6 that carry the first."""
_PRIVATE = ("10.1.2.3", "172.16.1.2", "192.168.1.2", "100.64.0.1", "127.0.0.1", "fc00::1", "fe80::1", "::1")


def _policies(objects: Objects, direction: str, labels: Mapping[str, str]) -> Iterator[Object]:
    for policy in of_kind(objects, "NetworkPolicy"):
        if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], labels):
            yield policy


def _rules(objects: Objects, direction: str, labels: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for policy in _policies(objects, direction, labels):
        yield from policy["spec"].get(direction.lower(), ())


def everything_is_denied_unless_opened(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        closed = not spec.get("ingress") and not spec.get("egress")
        if spec["podSelector"] == {} and closed and set(spec["policyTypes"]) == {"Ingress", "Egress"}:
            return
    yield "no policy denies all traffic by default"


def no_rule_is_open_to_all(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{named(policy)} lets anyone in, or to any port"
        for rule in policy["spec"].get("egress", ()):
            if not rule.get("to") or not rule.get("ports"):
                yield f"{named(policy)} lets out to anyone, or to any port"


def policies_select_pods_that_are_there(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        if not any(matches(selector, pods.labels) for pods in workloads(objects)):
            yield f"{named(policy)} selects no pod"
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                here = "podSelector" in peer and "namespaceSelector" not in peer and "ipBlock" not in peer
                if here and _required(peer) and not _there(objects, peer["podSelector"]):
                    yield f"{named(policy)} names peers that are not there: {peer['podSelector']}"


def _required(peer: Mapping[str, Any]) -> bool:
    """Tell whether a peer has to be there: PostgreSQL may as well be outside the cluster."""
    wanted = peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
    return bool(wanted != "moa-postgres")


def _there(objects: Objects, selector: Mapping[str, Any]) -> bool:
    return not is_empty(selector) and any(matches(selector, pods.labels) for pods in workloads(objects))


def ports_are_numbers(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            for port in rule.get("ports", ()):
                if not isinstance(port.get("port"), int):
                    yield f"{named(policy)} opens port {port.get('port')!r}, not a number"


def ports_let_in_are_ports_of_the_pods(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        selected = [pods for pods in workloads(objects) if matches(policy["spec"]["podSelector"], pods.labels)]
        open_ports = {port["port"] for rule in policy["spec"].get("ingress", ()) for port in rule.get("ports", ())}
        for pods in selected:
            if not open_ports <= pods.ports:
                missing = sorted(map(str, open_ports - pods.ports))
                yield f"{named(policy)} opens {missing}, where {pods.workload} has no port"


def every_pod_can_ask_the_dns(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        if "StatefulSet" in pods.workload:
            continue
        allowed = {
            (port["protocol"], port["port"])
            for rule in _rules(objects, "Egress", pods.labels)
            if DNS in rule.get("to", ())
            for port in rule.get("ports", ())
        }
        if not {("UDP", 53), ("TCP", 53)} <= allowed:
            yield f"{pods.workload} cannot ask the cluster's DNS"


def _reaches(objects: Objects, address: str, labels: Mapping[str, str], port: int) -> bool:
    """Tell whether blocks of addresses open an address at a port."""
    wanted = ipaddress.ip_address(address)
    for rule in _rules(objects, "Egress", labels):
        if port not in {entry.get("port") for entry in rule.get("ports", ())}:
            continue
        for block in (peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer):
            inside = wanted in ipaddress.ip_network(block["cidr"])
            if inside and not any(wanted in ipaddress.ip_network(left_out) for left_out in block.get("except", ())):
                return True
    return False


def models_are_reached_and_private_networks_are_not(objects: Objects) -> Iterator[str]:
    labels = server(objects).labels
    for address in ("93.184.216.34", "2606:2800:220:1::1"):
        if not _reaches(objects, address, labels, 443):
            yield f"the server cannot reach a model at {address}"
    for address in (*_PRIVATE, *_METADATA):
        if _reaches(objects, address, labels, 443):
            yield f"the server can reach {address} at port 443"


def metadata_services_are_out_of_reach(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for address in _METADATA:
            if any(_reaches(objects, address, pods.labels, port) for port in (80, 443, 8080, 4317, 50051)):
                yield f"{pods.workload} can reach the metadata service {address}"


def callers_can_come_in(objects: Objects) -> Iterator[str]:
    caller = {"moa-caller": "true"}
    port = server(objects).port_names.get("grpc")
    for rule in _rules(objects, "Ingress", server(objects).labels):
        if port in {entry["port"] for entry in rule.get("ports", ())}:
            for peer in rule.get("from", ()):
                if "podSelector" in peer and matches(peer["podSelector"], caller) and "namespaceSelector" in peer:
                    return
    yield 'pods labelled moa-caller: "true" cannot reach the server'


def postgres_can_be_reached_where_it_is_used(objects: Objects) -> Iterator[str]:
    users = [pods for pods in workloads(objects) if any(v["name"] == "postgres" for v in pods.spec.get("volumes", ()))]
    for pods in users:
        ports = {port["port"] for rule in _rules(objects, "Egress", pods.labels) for port in rule.get("ports", ())}
        if 5432 not in ports:
            yield f"{pods.workload} cannot reach PostgreSQL"


def telemetry_can_leave(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        ports = {port["port"] for rule in _rules(objects, "Egress", pods.labels) for port in rule.get("ports", ())}
        for variable in (variable for one in pods.containers for variable in one.get("env", ())):
            if variable["name"].startswith("OTEL_EXPORTER_OTLP") and variable["name"].endswith("ENDPOINT"):
                url = urlsplit(variable["value"])
                if url.hostname != "127.0.0.1" and url.port not in ports:
                    yield f"{pods.workload} cannot reach {variable['value']}"


def models_in_the_cluster_can_be_reached(objects: Objects) -> Iterator[str]:
    """A model named by a bare host is a Service of this namespace."""
    ports = {
        port["port"] for rule in _rules(objects, "Egress", server(objects).labels) for port in rule.get("ports", ())
    }
    services = {service["metadata"]["name"] for service in of_kind(objects, "Service")}
    for name, model in settings(objects)["models"].items():
        url = urlsplit(model["endpoint"])
        if "." not in (url.hostname or "") and url.hostname not in services:
            yield f"model {name} is at {url.hostname}, which is no Service"
        if (url.port or 443) not in ports:
            yield f"the server cannot reach model {name} at port {url.port}"


RULES: tuple[Rule, ...] = (
    everything_is_denied_unless_opened,
    no_rule_is_open_to_all,
    policies_select_pods_that_are_there,
    ports_are_numbers,
    ports_let_in_are_ports_of_the_pods,
    every_pod_can_ask_the_dns,
    models_are_reached_and_private_networks_are_not,
    metadata_services_are_out_of_reach,
    callers_can_come_in,
    postgres_can_be_reached_where_it_is_used,
    telemetry_can_leave,
    models_in_the_cluster_can_be_reached,
)
