"""Faults of draining."""

from k8s.tests.faults.reach import Planted, box, configured, one, pod

PLANTED: Planted = {
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
}
