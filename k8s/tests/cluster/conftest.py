import os
from pathlib import Path

import pytest

from k8s.tests.cluster.cluster import NAMESPACE, apply_local, rolled_out, run

WANTED = "KUBECONFIG" in os.environ


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local overlay, applied after the namespace was deleted; the folder it is applied from."""
    if not WANTED:
        pytest.skip("KUBECONFIG names no cluster")
    run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    folder = tmp_path_factory.mktemp("local")
    run("create", "namespace", NAMESPACE)
    apply_local(folder)
    rolled_out("statefulset/moa-postgres")
    rolled_out("deployment/moa-dev-model")
    rolled_out()
    return folder
