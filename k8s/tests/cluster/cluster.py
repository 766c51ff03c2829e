"""Speaks to the cluster that KUBECONFIG names, through kubectl."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from k8s.tests.kubectl import kubectl
from k8s.tests.manifests import K8S

NAMESPACE = "moa"
IMAGE = os.environ.get("MOA_IMAGE", "moa-server:dev")


def run(*arguments: str, text: str | None = None, check: bool = True, timeout: float = 600) -> str:
    """Return what kubectl prints in the namespace.

    Raises:
        AssertionError: it failed; with what it said.
    """
    command = [str(kubectl()), "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, check=False, text=True, timeout=timeout)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + (done.stderr if not check else "")


def got(*arguments: str) -> dict[str, Any]:
    """Return an object, or a list of them."""
    found: dict[str, Any] = json.loads(run("get", *arguments, "--output", "json"))
    return found


def pods(name: str = "moa-server") -> list[dict[str, Any]]:
    """Return the running pods of a workload, those that leave left out."""
    found = got("pods", "--selector", f"app.kubernetes.io/name={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"]


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in found)


def rolled_out(workload: str = "deployment/moa-server", timeout_s: int = 300) -> None:
    run("rollout", "status", workload, f"--timeout={timeout_s}s")


def apply_local(folder: Path, *, patches: Sequence[dict[str, Any]] = ()) -> None:
    """Apply the local overlay, with the image under test and patches of the server."""
    name, _, tag = IMAGE.rpartition(":")
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(K8S / "overlays" / "local", folder.resolve())],
        "images": [{"name": "moa-server", "newName": name, "newTag": tag}],
        "patches": [{"patch": yaml.safe_dump(patch)} for patch in patches],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    run("delete", "job", "moa-migrate", "--ignore-not-found")
    run("apply", "--kustomize", str(folder))


def server_patch(container: dict[str, Any], **spec: object) -> dict[str, Any]:
    """Return a patch of the server's pods."""
    template = {"spec": {"containers": [{"name": "moa-server", **container}], **spec}}
    metadata = {"name": "moa-server", "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
