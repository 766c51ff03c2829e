"""Serves the small model over the OpenAI-compatible API; a programme of its own, started as a child.

Loading a model holds the interpreter lock for a second or more, which would stop an event loop: hence a process apart.
"""

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import Any

from moa_server.embedded import ELSEWHERE, EmbeddedError, SettingsError, weights
from moa_server.embedded.parent_death import die_with

KEY_VARIABLE = "MOA_LOCAL_MODEL_KEY"
MODEL_NAME = "SmolLM2-135M-Instruct"
PROMPT_CACHE_MIB = 64  # the runtime's own default is 8 GiB
REQUIREMENT = "xllamacpp==2026.10.11549"


class RuntimeMissingError(EmbeddedError):
    """The wheel that runs the model is not installed here."""


def main() -> None:
    """Loads, says where it listens in one JSON line, and serves until its standard input closes."""
    parser = argparse.ArgumentParser(prog="moa_server.embedded.llama", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--slots", type=int, default=4, help="calls answered at once")
    parser.add_argument("--context", type=int, default=8192, help="tokens of context, split evenly over the slots")
    parser.add_argument("--weights", type=Path, help="a verified GGUF file; found among the distributions when absent")
    parser.add_argument("--parent", type=int, default=0, help="process whose end ends this one")
    parser.add_argument("--observed", action="store_true", help="tell at /slots and /metrics what it is doing")
    arguments = parser.parse_args()
    if arguments.parent:
        die_with(arguments.parent, signal.SIGKILL)
    try:
        key = os.environ.pop(KEY_VARIABLE, "")
        if not key:
            raise SettingsError(f"{KEY_VARIABLE} is not set: the local model is not served without a key")
        path = arguments.weights or weights.locate()
        runtime = load_runtime()
        server = runtime.Server(_parameters(runtime, arguments, path, key))
    except (EmbeddedError, RuntimeError) as error:
        raise SystemExit(f"local model: {error}") from None
    print(json.dumps({"ready": server.listening_address}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while os.read(0, 4096):  # the parent holds the other end of the pipe: its end, however it came, closes it
            pass
    os._exit(0)  # the runtime's threads hold nothing worth an orderly goodbye


def load_runtime() -> Any:  # noqa: ANN401 - the runtime ships no types
    """The runtime's module, or a sentence that says where to turn."""
    # libgomp reads it when it is loaded: idle threads sleep at once and leave the cores to the server of moa
    os.environ["GOMP_SPINCOUNT"] = "0"
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise RuntimeMissingError(missing_runtime()) from error


def missing_runtime() -> str:
    """Why no local model can run here, and what to do."""
    where = f"{sys.platform} on {platform.machine()}"
    return (
        f"no local model can be served here: the wheel xllamacpp is not installed for {where}; "
        f"where one exists, install it with: pip install --no-deps {REQUIREMENT}, {ELSEWHERE}"
    )


def _parameters(runtime: Any, arguments: argparse.Namespace, path: Path, key: str) -> Any:  # noqa: ANN401 - untyped
    parameters = runtime.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL_NAME}
    parameters.hostnames, parameters.port, parameters.api_keys = ["127.0.0.1"], arguments.port, [key]
    parameters.n_parallel, parameters.n_ctx = arguments.slots, arguments.context
    parameters.fit_params = False  # the context asked for, not one guessed from free memory
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores
    parameters.ui = False
    parameters.endpoint_slots = parameters.endpoint_metrics = arguments.observed
    parameters.offline = True
    parameters.verbosity = 1  # errors only
    return parameters


if __name__ == "__main__":
    main()
