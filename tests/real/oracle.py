"""LiteLLM's proxy, which refuses what each house's models refuse, in front of a scripted upstream."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.real.programmes import LITELLM, free_port, serving, skip_unless
from tests.upstream import Raw, Request, Speech, UpstreamThread

MODELS: Final[Mapping[str, str]] = {
    "gpt-5-mini": "openai/gpt-5-mini",
    "gpt-5.6": "openai/gpt-5.6",
    "claude-sonnet-4-6": "anthropic/claude-sonnet-4-6",
    "claude-sonnet-5": "anthropic/claude-sonnet-5",
    "gpt-oss-120b": "groq/openai/gpt-oss-120b",
    "mistral-medium": "mistral/mistral-medium-latest",
    "deepseek-v4": "deepseek/deepseek-v4-flash",
    "kimi-k3": "together_ai/moonshotai/Kimi-K3",
    "qwen3": "hosted_vllm/Qwen/Qwen3-32B",
}
"""By the name under which the proxy serves them: current models of two houses, and open ones at who serves them."""


_FINE: Final = "Fine, thanks."


def _fine(request: Request) -> Speech | Raw:
    """Answer as a stream, or whole: where the proxy takes a house for one that streams no JSON, it asks for that."""
    if request.asked().streams:
        return Speech(_FINE)
    choice = {"index": 0, "message": {"role": "assistant", "content": _FINE}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    whole = {"id": "c-1", "object": "chat.completion", "created": 0, "model": request.model, "service_tier": "auto"}
    return Raw(json.dumps({**whole, "choices": [choice], "usage": usage}).encode(), "application/json")


@dataclass(frozen=True)
class Oracle:
    """Where the proxy is, and what it passes its questions on to."""

    endpoint: str
    key: str
    upstream: UpstreamThread

    def begin_anew(self) -> None:
        """Forget what was passed on; every model answers."""
        self.upstream.begin_anew()
        self.upstream.script("*", _fine)


@contextmanager
def oracle(folder: Path) -> Iterator[Oracle]:
    """Run the proxy until the end of the block; it refuses what a model has no place for and drops nothing."""
    skip_unless(LITELLM.exists(), "LiteLLM's proxy (.ci/pins/litellm.txt)")
    with UpstreamThread() as upstream:
        address = {"anthropic": upstream.endpoint.removesuffix("/v1")}
        served = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": model,
                    "api_base": address.get(model.partition("/")[0], upstream.endpoint),
                    "api_key": "k",
                },
            }
            for name, model in MODELS.items()
        ]
        settings = {"model_list": served, "litellm_settings": {"drop_params": False, "num_retries": 0}}
        path = folder / "litellm.yaml"
        path.write_text(yaml.safe_dump(settings))
        key, port = f"sk-{secrets.token_hex(24)}", free_port()
        command = (str(LITELLM), "--config", str(path), "--host", "127.0.0.1", "--port", str(port))
        # It looks up prices and sends figures where it is not told otherwise.
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_MASTER_KEY": key}
        base = f"http://127.0.0.1:{port}"
        with serving(*command, is_up=f"{base}/health/liveliness", folder=folder, environment=quiet):
            yield Oracle(f"{base}/v1", key, upstream)
