"""What the manifests promise, on the cluster that KUBECONFIG names. It begins by deleting the namespace."""

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s.tests.cluster.asker import Asker, pod
from k8s.tests.cluster.cluster import apply_local, got, names, pods, rolled_out, run, server_patch

pytestmark = [
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster"),
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("namespace"),
]


def eventually(holds: Callable[[], bool], within_s: float) -> bool:
    """Tell whether something comes about; a cluster tells nobody when."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


def answered(name: str) -> int:
    return run("logs", name, "--container", "moa-server", "--tail=-1").count('"run.succeeded"')


def test_every_pod_is_ready_and_none_was_restarted() -> None:
    found = pods()
    assert len(found) >= 2
    for one in found:
        status = one["status"]["containerStatuses"][0]
        assert (status["ready"], status["restartCount"]) == (True, 0)


@pytest.mark.parametrize("target", ["moa-server:50051", "dns:///moa-server-headless:50051"])
def test_a_question_is_answered_through_both_services(target: str) -> None:
    with Asker("ask-once", "--target", target) as asker:
        assert asker.told()["ends"] == ["whole"]


def test_the_headless_name_balances_and_the_cluster_ip_does_not() -> None:
    shares = {}
    for target in ("moa-server:50051", "dns:///moa-server-headless:50051"):
        before = {name: answered(name) for name in names(pods())}
        with Asker("ask-many", "--target", target, "--streams", "20", "--every", "0.2") as asker:
            assert asker.told()["ends"] == ["whole"] * 20
        shares[target] = [answered(name) - count for name, count in before.items()]
    assert max(shares["moa-server:50051"]) == 20
    assert min(shares["dns:///moa-server-headless:50051"]) >= 5


def test_a_rolling_restart_loses_none_of_sixty_streams() -> None:
    before = names(pods())
    with Asker("ask-rolled", "--mixture", "slow", "--streams", "60", "--every", "0.3") as asker:
        run("rollout", "restart", "deployment/moa-server")
        rolled_out()
        assert asker.told()["ends"] == ["whole"] * 60
    assert not set(before) & set(names(pods()))


def test_a_pod_deleted_by_force_loses_no_stream() -> None:
    with Asker("ask-killed", "--mixture", "slow", "--streams", "20") as asker:
        asker.started()
        run("delete", "pod", names(pods())[0], "--force", "--grace-period=0")
        told = asker.told()
    assert told["ends"] == ["whole"] * 20
    assert told["adopted"] > 0
    rolled_out()


def test_a_pod_that_joins_is_used_within_the_connections_age() -> None:
    before = set(names(pods()))
    floor = [{"op": "replace", "path": "/spec/minReplicas", "value": len(before) + 1}]
    with Asker("ask-scaled", "--streams", "600", "--every", "0.25"):
        run("patch", "hpa", "moa-server", "--type=json", "--patch", json.dumps(floor))
        assert eventually(lambda: len(pods()) > len(before), 120)
        rolled_out()
        new = (set(names(pods())) - before).pop()
        assert eventually(lambda: answered(new) > 0, 30 + 60)
    floor[0]["value"] = 2
    run("patch", "hpa", "moa-server", "--type=json", "--patch", json.dumps(floor))


def test_a_roll_out_that_never_becomes_ready_stalls_and_the_old_pods_serve(namespace: Path, tmp_path: Path) -> None:
    before = set(names(pods()))
    probe = {"readinessProbe": {"grpc": {"port": 50052, "service": "moa.misspelt"}}}
    apply_local(tmp_path, patches=[server_patch(probe)])
    try:
        said = run("rollout", "status", "deployment/moa-server", "--timeout=60s", check=False)
        assert "timed out" in said or "exceeded" in said
        assert before <= set(names(pods()))
        with Asker("ask-stalled") as asker:
            assert asker.told()["ends"] == ["whole"]
    finally:
        apply_local(namespace)
        rolled_out()


def test_evictions_go_one_by_one() -> None:
    allowed = got("pdb", "moa-server")["status"]
    assert allowed["currentHealthy"] >= 2
    assert allowed["disruptionsAllowed"] == 1

    def evict(name: str) -> str:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "moa"}}
        path = f"/api/v1/namespaces/moa/pods/{name}/eviction"
        return run("create", "--raw", path, "--filename", "-", text=json.dumps(eviction), check=False)

    first, second = names(pods())[:2]
    assert "disruption budget" not in evict(first)
    assert "disruption budget" in evict(second)
    rolled_out()


def test_a_privileged_pod_is_refused() -> None:
    good = pod("privileged", ["true"], labels={})
    assert "created" in run("create", "--dry-run=server", "--filename", "-", text=json.dumps(good))
    bad = copy.deepcopy(good)
    bad["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "violates PodSecurity" in run(
        "create", "--dry-run=server", "--filename", "-", text=json.dumps(bad), check=False
    )


REACH = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    socket.create_connection((host, port), timeout=5).close()
except OSError as error:
    print("closed", error)
else:
    print("open")
"""


@pytest.mark.parametrize(
    ("where", "host", "port", "is_open"),
    [
        ("deployment/moa-server", "moa-dev-model", "8080", True),
        ("deployment/moa-server", "moa-postgres", "5432", True),
        ("deployment/moa-server", "169.254.169.254", "80", False),
        ("deployment/moa-server", "kubernetes.default.svc", "443", False),
        ("deployment/moa-dev-model", "moa-postgres", "5432", False),
        ("deployment/moa-dev-model", "moa-server", "50051", False),
    ],
)
def test_the_network_is_open_where_it_has_to_be_and_nowhere_else(
    where: str,
    host: str,
    port: str,
    is_open: bool,  # noqa: FBT001 - a case of the table
) -> None:
    said = run("exec", where, "--", "python", "-c", REACH, host, port)
    assert said.split()[0] == ("open" if is_open else "closed")


def test_the_autoscaler_reads_its_metric_and_grows_under_load() -> None:
    def reads() -> bool:
        conditions = got("hpa", "moa-server")["status"].get("conditions", ())
        return any(one["type"] == "ScalingActive" and one["status"] == "True" for one in conditions)

    if not eventually(reads, 120):
        pytest.skip("the cluster serves no resource metrics")
    before = len(pods())
    with Asker("ask-much", "--streams", "20000", "--every", "0.005"):
        assert eventually(lambda: len(pods()) > before, 180)


def test_a_server_that_cannot_start_says_why(namespace: Path, tmp_path: Path) -> None:
    before = set(names(pods()))
    apply_local(tmp_path, patches=[server_patch({"args": ["serve", "--config", "/etc/moa/none.yaml"]})])

    def message() -> str:
        found = got("pods", "--selector", "app.kubernetes.io/name=moa-server")["items"]
        states = [s for one in found for s in one["status"].get("containerStatuses", ())]
        ended = [s.get(key, {}).get("terminated") for s in states for key in ("state", "lastState")]
        return " ".join(one.get("message", "") for one in ended if one)

    try:
        assert eventually(lambda: "none.yaml does not exist" in message(), 90)
        assert before <= set(names(pods()))
    finally:
        apply_local(namespace)
        rolled_out()
