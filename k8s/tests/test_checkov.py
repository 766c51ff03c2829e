"""What an auditor of Kubernetes manifests says, offline; what is passed over has its reason here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from k8s.tests.manifests import K8S, Combination, objects

CHECKOV = Path(sys.prefix) / "checkov" / "bin" / "checkov"
ANY = frozenset({"*"})

# The check, why it is passed over, and where.
PASSED_OVER = {
    "CKV_K8S_11": ("a CPU limit makes every stream of a pod stutter at once", ANY),
    "CKV_K8S_15": ("images are named by digest or by a version that is not moved: pulling again brings nothing", ANY),
    "CKV_K8S_43": ("production names our image by digest, which a rule asks for; the others have a version", ANY),
    "CKV_K8S_8": ("nobody calls the example caller", frozenset({"Deployment.moa.moa-caller"})),
    "CKV_K8S_9": ("nobody calls the example caller", frozenset({"Deployment.moa.moa-caller"})),
    "CKV_K8S_40": ("the image knows its own user, 999, alone", frozenset({"StatefulSet.moa.moa-postgres"})),
    "CKV_DOCKER_2": ("Kubernetes probes by gRPC", ANY),
    "CKV_DOCKER_7": ("the base is an argument, with a tag by default and a digest in a release", ANY),
}

pytestmark = pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed: make test installs it")


def failed(folder: Path) -> list[tuple[str, str]]:
    """Return what failed: check and resource, those passed over left out."""
    command = [
        str(CHECKOV),
        "-d",
        str(folder),
        "--framework",
        "kubernetes",
        "dockerfile",
        "--skip-download",
        "-o",
        "json",
    ]
    done = subprocess.run([*command, "--quiet", "--compact"], capture_output=True, check=False, text=True)
    reports = json.loads(done.stdout)
    found = [
        one
        for report in ([reports] if isinstance(reports, dict) else reports)
        for one in report["results"]["failed_checks"]
    ]
    assert all(report["summary"]["parsing_errors"] == 0 for report in reports)
    return [(one["check_id"], one["resource"]) for one in found if not _passed_over(one["check_id"], one["resource"])]


def _passed_over(check: str, resource: str) -> bool:
    _, where = PASSED_OVER.get(check, ("", frozenset[str]()))
    return where == ANY or resource in where


def _written(folder: Path, *, privileged: bool = False) -> Path:
    everything = ("pod-monitor", "caller", "hpa-inflight", "gateway-api", "envoy-gateway")
    for combination in (Combination("prod", everything), Combination("local")):
        found = objects(combination)
        for one in found:
            if privileged and one["kind"] == "Deployment":
                one["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
        (folder / f"{combination.overlay}.yaml").write_text(yaml.safe_dump_all(found), encoding="utf-8")
    (folder / "Dockerfile").write_bytes((K8S.parent / "server" / "Dockerfile").read_bytes())
    return folder


def test_the_auditor_has_nothing_to_say(tmp_path: Path) -> None:
    assert failed(_written(tmp_path)) == []


def test_the_auditor_would_say_it(tmp_path: Path) -> None:
    assert ("CKV_K8S_16", "Deployment.moa.moa-server") in failed(_written(tmp_path, privileged=True))
