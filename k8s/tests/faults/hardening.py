"""Faults of what pods may do."""

from k8s.tests.faults.reach import Planted, box, environment, one, pod, volume, without

PLANTED: Planted = {
    "root": ("pods_are_restricted", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    "no seccomp profile": ("pods_are_restricted", lambda o: pod(o)["securityContext"].pop("seccompProfile")),
    "the host's network": ("pods_are_restricted", lambda o: pod(o).update(hostNetwork=True)),
    "a path of the host": (
        "pods_are_restricted",
        lambda o: pod(o)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ),
    "a privileged container": (
        "pods_are_restricted",
        lambda o: box(o)["securityContext"].update(privileged=True),
    ),
    "capabilities of a sidecar": (
        "pods_are_restricted",
        lambda o: pod(o)["initContainers"][0]["securityContext"].pop("capabilities"),
    ),
    "a writable root": (
        "pods_are_restricted",
        lambda o: box(o)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "a namespace that only warns": (
        "the_namespace_enforces_the_restricted_standard",
        lambda o: one(o, "Namespace", "moa")["metadata"]["labels"].pop("pod-security.kubernetes.io/enforce"),
    ),
    "no namespace": (
        "the_namespace_enforces_the_restricted_standard",
        lambda o: without(o, "Namespace", "moa"),
    ),
    "an object elsewhere": (
        "everything_is_in_the_namespace",
        lambda o: one(o, "Service")["metadata"].update(namespace="default"),
    ),
    "a token": (
        "pods_hold_no_token_and_no_list_of_services",
        lambda o: pod(o).pop("automountServiceAccountToken"),
    ),
    "service links": (
        "pods_hold_no_token_and_no_list_of_services",
        lambda o: pod(o).pop("enableServiceLinks"),
    ),
    "a CPU limit": (
        "memory_is_limited_and_cpu_is_not",
        lambda o: box(o)["resources"]["limits"].update(cpu="2"),
    ),
    "no memory limit": (
        "memory_is_limited_and_cpu_is_not",
        lambda o: box(o)["resources"]["limits"].pop("memory"),
    ),
    "a secret that all can read": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: volume(o, "model-keys")["secret"].update(defaultMode=0o644),
    ),
    "a secret in the environment": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: environment(o).append(
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "moa-model-keys", "key": "models-example"}}}
        ),
    ),
    "secrets that the server cannot read": (
        "secrets_are_files_that_others_cannot_read",
        lambda o: pod(o)["securityContext"].pop("fsGroup"),
    ),
    "no termination message": (
        "a_server_that_cannot_start_says_why",
        lambda o: box(o).pop("terminationMessagePolicy"),
    ),
    "endless scratch space": ("scratch_space_is_bounded", lambda o: volume(o, "tmp").update(emptyDir={})),
}
