"""Probes ask the right thing at the right port."""

from collections.abc import Iterator

from k8s.tests.rules.rule import Objects, Rule, container, server, settings

SERVICES = {"startupProbe": "moa.liveness", "livenessProbe": "moa.liveness", "readinessProbe": "moa.readiness"}
_LONGEST_S = 15
_START_S = 30


def each_probe_asks_for_its_own_service(objects: Objects) -> Iterator[str]:
    found = container(server(objects))
    for probe, service in SERVICES.items():
        asked = found.get(probe, {}).get("grpc", {}).get("service")
        if asked != service:
            yield f"the {probe} asks for {asked!r}, not for {service}"


def liveness_and_readiness_are_not_one(objects: Objects) -> Iterator[str]:
    found = container(server(objects))
    if found.get("livenessProbe", {}).get("grpc") == found.get("readinessProbe", {}).get("grpc"):
        yield "one probe serves for liveness and readiness: a draining pod would be restarted"


def probes_ask_where_the_server_listens(objects: Objects) -> Iterator[str]:
    pods = server(objects)
    listening = settings(objects)["server"]
    address = listening.get("health_listen") or listening["listen"]
    host, _, port = address.rpartition(":")
    if host not in {"0.0.0.0", "[::]"}:  # noqa: S104 - what the configuration has to say, not what is bound here
        yield f"the kubelet cannot reach health at {address}"
    for probe in SERVICES:
        asked = container(pods).get(probe, {}).get("grpc", {}).get("port")
        if asked != int(port) or asked not in pods.ports:
            yield f"the {probe} asks at port {asked}, where the server does not listen"


def a_long_start_is_no_failure_and_a_short_fault_no_death(objects: Objects) -> Iterator[str]:
    found = container(server(objects))
    start, alive = found.get("startupProbe", {}), found.get("livenessProbe", {})
    if start.get("periodSeconds", 10) * start.get("failureThreshold", 3) < _START_S:
        yield f"the server has less than {_START_S} s to start"
    if alive.get("periodSeconds", 10) * alive.get("failureThreshold", 3) < 2 * _LONGEST_S:
        yield f"a server that hangs for {2 * _LONGEST_S} s is restarted"


def a_pod_that_drains_is_noticed_before_it_ends(objects: Objects) -> Iterator[str]:
    ready = container(server(objects)).get("readinessProbe", {})
    if ready.get("periodSeconds", 10) * ready.get("failureThreshold", 3) > _LONGEST_S:
        yield f"it takes more than {_LONGEST_S} s to see that a pod is not ready"


def the_ports_are_those_of_the_configuration(objects: Objects) -> Iterator[str]:
    port = int(settings(objects)["server"]["listen"].rpartition(":")[2])
    if server(objects).port_names.get("grpc") != port:
        yield f"the port named grpc is not {port}, where the server listens"


RULES: tuple[Rule, ...] = (
    each_probe_asks_for_its_own_service,
    liveness_and_readiness_are_not_one,
    probes_ask_where_the_server_listens,
    a_long_start_is_no_failure_and_a_short_fault_no_death,
    a_pod_that_drains_is_noticed_before_it_ends,
    the_ports_are_those_of_the_configuration,
)
