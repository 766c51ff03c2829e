"""A pod has the time to end what it began."""

from collections.abc import Iterator

from k8s.tests.rules.rule import Objects, Rule, named, of_kind, pre_stop_s, server, settings
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Listening
from moa_server.settings.units import seconds

SLACK_S = 10
"""To flush telemetry and to end."""
_LEAST_PRE_STOP_S = 5
_LONGEST_GRACE_S = 3600


def longest_stream_s(objects: Objects) -> float:
    """Return the longest stream that the server's configuration allows."""
    said = settings(objects).get("limits", {}).get("run_time", {}).get("maximum")
    return Limits().run_time.maximum_s if said is None else seconds(said)


def _grace_s(objects: Objects) -> float:
    return float(server(objects).spec.get("terminationGracePeriodSeconds", 30))


def the_pod_outlives_its_longest_stream(objects: Objects) -> Iterator[str]:
    needed = pre_stop_s(server(objects)) + longest_stream_s(objects) + SLACK_S
    if _grace_s(objects) < needed:
        yield f"the pod is killed after {_grace_s(objects):.0f} s; preStop, longest stream and slack are {needed:.0f} s"
    if _grace_s(objects) > _LONGEST_GRACE_S:
        yield "a node's drain would wait for more than an hour"


def the_server_drains_as_long_as_its_longest_stream(objects: Objects) -> Iterator[str]:
    drain = seconds(settings(objects)["server"].get("drain_grace", Listening().drain_grace_s))
    if drain < longest_stream_s(objects):
        yield f"the server cuts streams {drain:.0f} s after SIGTERM; the longest is {longest_stream_s(objects):.0f} s"
    if pre_stop_s(server(objects)) + drain + SLACK_S > _grace_s(objects):
        yield f"the server drains for {drain:.0f} s, longer than the pod is given"


def the_endpoints_forget_the_pod_before_sigterm(objects: Objects) -> Iterator[str]:
    if pre_stop_s(server(objects)) < _LEAST_PRE_STOP_S:
        yield f"preStop sleeps for less than {_LEAST_PRE_STOP_S} s"


def connections_age_without_cutting_streams(objects: Objects) -> Iterator[str]:
    said = settings(objects)["server"]
    if said.get("max_connection_age") is None:
        yield "connections never age: callers would not find new pods"
    grace = said.get("max_connection_age_grace")
    if grace is not None and seconds(grace) < longest_stream_s(objects):
        yield f"an aged connection is cut after {grace} s; the longest stream is {longest_stream_s(objects):.0f} s"


def gateways_do_not_end_streams(objects: Objects) -> Iterator[str]:
    routes = {route["metadata"]["name"] for route in of_kind(objects, "GRPCRoute")}
    for policy in of_kind(objects, "BackendTrafficPolicy"):
        http = policy["spec"].get("timeout", {}).get("http", {})
        for limit in ("requestTimeout", "maxStreamDuration"):
            if http.get(limit) != "0s":
                yield f"{named(policy)} leaves {limit} at {http.get(limit)}: streams die"
        for target in policy["spec"]["targetRefs"]:
            if target["kind"] != "GRPCRoute" or target["name"] not in routes:
                yield f"{named(policy)} is about {target['kind']} {target['name']}, which is not there"


RULES: tuple[Rule, ...] = (
    the_pod_outlives_its_longest_stream,
    the_server_drains_as_long_as_its_longest_stream,
    the_endpoints_forget_the_pod_before_sigterm,
    connections_age_without_cutting_streams,
    gateways_do_not_end_streams,
)
