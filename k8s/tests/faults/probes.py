"""Faults of probes."""

from k8s.tests.faults.reach import Planted, box, configured

PLANTED: Planted = {
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
}
