import runpy
import threading
from collections.abc import Iterator

import pytest

from k8s.tests.manifests import K8S


@pytest.fixture(scope="session")
def models() -> Iterator[str]:
    """The stand-in model of the manifests, on loopback."""
    script = runpy.run_path(str(K8S / "components" / "dev-model" / "model.py"))
    endpoint = script["Endpoint"](("127.0.0.1", 0), script["Completions"])
    serving = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{endpoint.server_port}/v1"
    endpoint.shutdown()
    endpoint.server_close()
    serving.join()
