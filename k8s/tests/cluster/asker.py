"""A pod that asks from inside the cluster, held to the same standard as any other."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from k8s.tests.cluster.cluster import IMAGE, NAMESPACE, run
from k8s.tests.kubectl import kubectl

SCRIPT = Path(__file__).with_name("ask.py")
_WHOLE_S = 240


def pod(name: str, command: Sequence[str], *, labels: dict[str, str]) -> dict[str, Any]:
    """Return a pod that the namespace lets in."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "asker",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": security,
        "volumeMounts": [{"name": "script", "mountPath": "/opt/asker"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "moa", **labels}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "script", "configMap": {"name": "moa-asker"}}],
        },
    }


class Asker:
    """Runs in the cluster while a test does something to it."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._name = name
        # Those of the example caller, whose network policy lets it reach the server and nothing else.
        labels = {"app.kubernetes.io/name": "moa-caller", "moa-caller": "true"}
        self._pod = pod(name, ["python", "/opt/asker/ask.py", *arguments], labels=labels)

    def __enter__(self) -> Self:
        script = run("create", "configmap", "moa-asker", f"--from-file={SCRIPT}", "--dry-run=client", "-o", "yaml")
        run("apply", "--filename", "-", text=script)
        run("delete", "pod", self._name, "--ignore-not-found", "--wait")
        run("create", "--filename", "-", text=json.dumps(self._pod))
        run("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{self._name}", "--timeout=120s", check=False)
        return self

    def __exit__(self, *_: object) -> None:
        run("delete", "pod", self._name, "--ignore-not-found", "--wait=false")

    def started(self) -> None:
        """Come back once all its streams are open."""
        command = [str(kubectl()), "--namespace", NAMESPACE, "logs", "--follow", self._name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert any("started" in line for line in following.stdout)
            following.terminate()

    def told(self) -> dict[str, Any]:
        """Return what it says at its end."""
        text = run("logs", "--follow", self._name, timeout=_WHOLE_S)
        last: dict[str, Any] = json.loads(text.splitlines()[-1])
        return last
