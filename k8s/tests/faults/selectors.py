"""Faults of selectors."""

from k8s.tests.faults.reach import TYPO, Planted, one, pod

PLANTED: Planted = {
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
}
