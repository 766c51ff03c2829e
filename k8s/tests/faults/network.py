"""Faults of network policies."""

from k8s.tests.faults.reach import TYPO, Planted, configured, policy, without

DNS_POISONED = {"k8s-app": "kube-dns", "app.kubernetes.io/part-of": "moa"}

PLANTED: Planted = {
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
    "models with the metadata service in another form": (
        "metadata_services_are_out_of_reach",
        lambda o: policy(o, "moa-server-models")["egress"][0]["to"][1]["ipBlock"].pop("except"),
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
}
