"""Faults of scaling and roll-outs."""

import copy

from k8s.tests.faults.reach import Planted, box, one, rolling

PLANTED: Planted = {
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
    "open runs by another name": (
        "open_runs_are_measured_by_the_name_they_have",
        lambda o: one(o, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"].update(name="open_runs"),
    ),
    "CPU measured without a request": (
        "a_utilisation_has_a_request_to_be_measured_by",
        lambda o: box(o)["resources"]["requests"].pop("cpu"),
    ),
    "surge and unavailable both 0": (
        "a_roll_out_adds_before_it_takes_away",
        lambda o: rolling(o).update(maxSurge=0),
    ),
    "a roll-out that takes away first": (
        "a_roll_out_adds_before_it_takes_away",
        lambda o: rolling(o).update(maxUnavailable=1),
    ),
}
