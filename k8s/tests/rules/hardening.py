"""Pods hold to the restricted standard of Pod Security, and to a little more."""

from collections.abc import Iterator, Mapping
from typing import Any

from k8s.tests.rules.rule import Objects, Pods, Rule, of_kind, server, workloads

_VOLUMES = {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim", "ephemeral", "csi"}


def pods_are_restricted(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        context = pods.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pods.workload} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pods.workload} has no seccomp profile"
        if any(pods.spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers")):
            yield f"{pods.workload} shares the host's namespaces"
        for volume in pods.spec.get("volumes", ()):
            if not _VOLUMES & volume.keys():
                yield f"{pods.workload} mounts {volume['name']}, a kind of volume that is not allowed"
        for container in pods.containers:
            yield from _unrestricted(pods, container)


def _unrestricted(pods: Pods, container: Mapping[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    where = f"{pods.workload}, container {container['name']}"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{where} may gain privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where} keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{where} may write to its image"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield f"{where} takes a port of the host"


def the_namespace_enforces_the_restricted_standard(objects: Objects) -> Iterator[str]:
    spaces = list(of_kind(objects, "Namespace"))
    if not spaces:
        yield "there is no Namespace"
    for space in spaces:
        for mode in ("enforce", "warn", "audit"):
            if space["metadata"].get("labels", {}).get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"Namespace {space['metadata']['name']} does not {mode} the restricted standard"


def everything_is_in_the_namespace(objects: Objects) -> Iterator[str]:
    spaces = {space["metadata"]["name"] for space in of_kind(objects, "Namespace")}
    for found in objects:
        if found["kind"] != "Namespace" and found["metadata"].get("namespace") not in spaces:
            yield f"{found['kind']} {found['metadata']['name']} is outside the namespace"


def pods_hold_no_token_and_no_list_of_services(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        if pods.spec.get("automountServiceAccountToken") is not False:
            yield f"{pods.workload} holds a token for the cluster"
        if pods.spec.get("enableServiceLinks") is not False:
            yield f"{pods.workload} is told of all services by environment variables"
    accounts = {one["metadata"]["name"]: one for one in of_kind(objects, "ServiceAccount")}
    account = accounts.get(server(objects).spec.get("serviceAccountName", ""))
    if account is None or account.get("automountServiceAccountToken") is not False:
        yield "the server has no service account of its own without a token"


def memory_is_limited_and_cpu_is_not(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for container in pods.containers:
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            where = f"{pods.workload}, container {container['name']}"
            if not {"cpu", "memory"} <= requests.keys():
                yield f"{where} requests no CPU or memory"
            if "memory" not in limits:
                yield f"{where} has no memory limit"
            if "cpu" in limits:
                yield f"{where} has a CPU limit: its streams would stutter"


def secrets_are_files_that_others_cannot_read(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for volume in pods.spec.get("volumes", ()):
            if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
                yield f"{pods.workload} has the secret {volume['name']} with mode {volume['secret'].get('defaultMode')}"
        for container in pods.containers:
            if any("secretKeyRef" in variable.get("valueFrom", {}) for variable in container.get("env", ())):
                yield f"{pods.workload} has a secret in its environment"
            if any("secretRef" in source for source in container.get("envFrom", ())):
                yield f"{pods.workload} has a secret in its environment"
        if "fsGroup" not in pods.spec.get("securityContext", {}):
            yield f"{pods.workload} could not read files of mode 0400: they belong to root"


def a_server_that_cannot_start_says_why(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for container in pods.containers:
            speaks = container["name"] in {"moa-server", "migrate"}
            if speaks and container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
                yield f"{pods.workload} does not put its last log line into its termination message"


def scratch_space_is_bounded(objects: Objects) -> Iterator[str]:
    for pods in workloads(objects):
        for volume in pods.spec.get("volumes", ()):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{pods.workload} may fill the node's disk through {volume['name']}"


RULES: tuple[Rule, ...] = (
    pods_are_restricted,
    the_namespace_enforces_the_restricted_standard,
    everything_is_in_the_namespace,
    pods_hold_no_token_and_no_list_of_services,
    memory_is_limited_and_cpu_is_not,
    secrets_are_files_that_others_cannot_read,
    a_server_that_cannot_start_says_why,
    scratch_space_is_bounded,
)
