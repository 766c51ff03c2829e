from pathlib import Path

import pytest

from k8s.tests.cluster.cluster import NAMESPACE, apply_local, rolled_out, run
from k8s.tests.manifests import K8S


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local overlay, applied after the namespace was deleted; the folder it is applied from."""
    run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    folder = tmp_path_factory.mktemp("local")
    run("create", "namespace", NAMESPACE)
    apply_local(folder)
    # The pods that ask live in the namespace too, where nobody gets out unless told so.
    run("apply", "--filename", str(K8S / "components" / "caller" / "networkpolicy.yaml"))
    rolled_out("statefulset/moa-postgres")
    rolled_out("deployment/moa-dev-model")
    rolled_out()
    return folder
