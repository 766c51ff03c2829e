"""Faults of what the pods are given."""

from k8s.tests.faults.reach import Planted, box, configured, environment, one, volume, without

PLANTED: Planted = {
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
