"""What the pods are given fits the server's configuration."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from k8s.tests.rules.rule import Objects, Rule, container, of_kind, server, settings, workloads

_HASHED = re.compile(r"-[0-9a-z]{10}$")
_REFERENCE = re.compile(r"(?<!\$)\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_NEEDED = (
    "service.instance.id=$(POD_UID)",
    "k8s.pod.name=$(POD_NAME)",
    "k8s.namespace.name=$(POD_NAMESPACE)",
    "k8s.node.name=$(NODE_NAME)",
)


def a_changed_configuration_is_a_roll_out(objects: Objects) -> Iterator[str]:
    there = {found["metadata"]["name"] for found in of_kind(objects, "ConfigMap")}
    for pods in workloads(objects):
        for volume in pods.spec.get("volumes", ()):
            name = volume.get("configMap", {}).get("name")
            if name is None:
                continue
            if name not in there:
                yield f"{pods.workload} mounts the ConfigMap {name}, which is not there"
            elif not _HASHED.search(name):
                yield f"{pods.workload} mounts the ConfigMap {name}: a change of it would be no roll-out"


def the_server_reads_the_file_that_is_mounted(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for found in pods.containers:
            args = found.get("args", [])
            if "--config" not in args:
                continue
            path = PurePosixPath(args[args.index("--config") + 1])
            mounts = {mount["mountPath"]: mount["name"] for mount in found.get("volumeMounts", ())}
            volume: Mapping[str, Any] = next(
                (v for v in pods.spec["volumes"] if v["name"] == mounts.get(str(path.parent))), {}
            )
            name = volume.get("configMap", {}).get("name")
            data: Mapping[str, str] = next(
                (m["data"] for m in of_kind(objects, "ConfigMap") if m["metadata"]["name"] == name), {}
            )
            if path.name not in data:
                yield f"{pods.workload} reads {path}, which is not mounted"


def secrets_that_the_configuration_names_are_mounted(objects: Objects) -> Iterator[str]:
    pods = server(objects)
    mounts = {mount["mountPath"]: mount["name"] for mount in container(pods)["volumeMounts"]}
    secrets = {volume["name"] for volume in pods.spec["volumes"] if "secret" in volume}
    for path in sorted(_secret_files(settings(objects))):
        if mounts.get(str(PurePosixPath(path).parent)) not in secrets:
            yield f"the configuration names the secret {path}, which is not mounted"


def _secret_files(data: Any) -> set[str]:  # noqa: ANN401 - plain data of any shape
    if isinstance(data, Mapping):
        own = {data["file"]} if set(data) == {"file"} else set()
        return own.union(*(_secret_files(value) for value in data.values()))
    return set().union(*map(_secret_files, data)) if isinstance(data, list) else set()


def the_journal_is_shared_where_there_is_a_database(objects: Objects) -> Iterator[str]:
    mounted = any(volume["name"] == "postgres" for volume in server(objects).spec["volumes"])
    journal = settings(objects).get("journal", {})
    if mounted != ("postgres" in journal):
        yield f"the journal is {sorted(journal)}, and the secret of a database is {'' if mounted else 'not '}mounted"
    migrates = any(pods.workload == "Job moa-migrate" for pods in workloads(objects))
    if mounted != migrates:
        yield "a database is used and nothing migrates it, or the other way round"


def the_log_is_for_machines(objects: Objects) -> Iterator[str]:
    if settings(objects).get("telemetry", {}).get("log_form") != "json":
        yield "the server does not log in JSON"


def variables_come_after_those_they_are_made_of(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for found in pods.containers:
            known: set[str] = set()
            for variable in found.get("env", ()):
                for reference in _REFERENCE.findall(variable.get("value") or ""):
                    if reference not in known:
                        yield f"{pods.workload}: {variable['name']} is made of {reference}, which comes later or never"
                known.add(variable["name"])


def telemetry_says_which_pod_it_comes_from(objects: Objects) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in container(server(objects)).get("env", ())}
    if "OTEL_EXPORTER_OTLP_ENDPOINT" not in variables:
        return
    said = variables.get("OTEL_RESOURCE_ATTRIBUTES", {}).get("value", "").split(",")
    for needed in _NEEDED:
        if needed not in said:
            yield f"OTEL_RESOURCE_ATTRIBUTES lacks {needed}"
    for name in ("POD_UID", "POD_NAME", "POD_NAMESPACE", "NODE_NAME"):
        if "fieldRef" not in variables.get(name, {}).get("valueFrom", {}):
            yield f"{name} does not come from the pod itself"


def nothing_is_applied_that_is_only_a_source(objects: Objects) -> Iterator[str]:
    for found in objects:
        if "config.kubernetes.io/local-config" in found["metadata"].get("annotations", {}):
            yield f"{found['kind']} {found['metadata']['name']} would be applied"


def callers_balance_over_all_pods(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for variable in (variable for one in pods.containers for variable in one.get("env", ())):
            if variable["name"] == "MOA_TARGET" and variable["value"] != "dns:///moa-server-headless:50051":
                yield f"{pods.workload} asks {variable['value']}: all its calls would go to one pod"


RULES: tuple[Rule, ...] = (
    a_changed_configuration_is_a_roll_out,
    the_server_reads_the_file_that_is_mounted,
    secrets_that_the_configuration_names_are_mounted,
    the_journal_is_shared_where_there_is_a_database,
    the_log_is_for_machines,
    variables_come_after_those_they_are_made_of,
    telemetry_says_which_pod_it_comes_from,
    nothing_is_applied_that_is_only_a_source,
    callers_balance_over_all_pods,
)
