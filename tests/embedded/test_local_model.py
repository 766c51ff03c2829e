"""The small model really is served by a child process, only to those with its key, and never outlives its parent."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from moa_server.embedded import llama
from moa_server.embedded.child import ChildDiedError
from moa_server.embedded.model_endpoint import LocalModel, local_model

pytestmark = [pytest.mark.usefixtures("installed"), pytest.mark.asyncio(loop_scope="module")]

PARENT = """
import asyncio
from moa_server.embedded.model_endpoint import local_model

async def main():
    async with local_model(slots=1, context=512) as served:
        print(served.child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[LocalModel]:
    async with local_model(slots=2, context=1024) as model:
        yield model


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: LocalModel) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as http:
        yield http


def question(served: LocalModel, **more: object) -> dict[str, object]:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Why is the sky blue?"},
    ]
    return {"model": served.name, "messages": messages, "max_tokens": 12, "temperature": 0.2, **more}


async def test_chat_completion_streams_real_tokens_and_its_usage(served: LocalModel, client: httpx.AsyncClient) -> None:
    body = question(served, stream=True, stream_options={"include_usage": True})
    answer = await client.post("chat/completions", json=body, timeout=50)
    assert answer.status_code == 200, answer.text
    chunks = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    assert chunks[-1] == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks[:-1]]
    words = [choice["delta"].get("content") or "" for chunk in parsed for choice in chunk["choices"]]
    assert len([word for word in words if word]) > 1
    assert 1 <= parsed[-1]["usage"]["completion_tokens"] <= 12


async def test_calls_at_once_share_the_context(served: LocalModel, client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post("chat/completions", json=question(served), timeout=50) for _ in range(2))
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert served.window == 512


async def test_prompt_beyond_the_window_is_refused(served: LocalModel, client: httpx.AsyncClient) -> None:
    body = question(served) | {"messages": [{"role": "user", "content": "word " * 600}]}
    answer = await client.post("chat/completions", json=body, timeout=50)
    assert answer.status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["no key", "wrong key"])
async def test_call_without_the_key_is_refused(served: LocalModel, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as http:
        answer = await http.post("chat/completions", json=question(served))
    assert answer.status_code == 401


async def test_key_is_in_no_text_about_the_model(served: LocalModel) -> None:
    assert served.key not in repr(served)


async def test_child_ends_with_the_block(ends: Callable[..., bool]) -> None:
    async with local_model(slots=1, context=512) as model:
        pid = model.child.pid
    assert ends(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
async def test_child_ends_when_its_parent_is_killed(ends: Callable[..., bool]) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    assert await asyncio.to_thread(ends, pid)


async def test_child_ends_when_its_input_closes() -> None:
    """Where the kernel offers no tie to a parent, the pipe is the tie."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moa_server.embedded.llama", "--slots", "1", "--context", "512"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, llama.KEY_VARIABLE: "some key"},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert b"ready" in await child.stdout.readline()
    child.stdin.close()
    assert await child.wait() == 0


async def test_child_that_cannot_load_says_why() -> None:
    with pytest.raises(ChildDiedError, match="local model"):
        async with local_model(slots=1, context=-5):
            pytest.fail("it was ready")


async def test_child_without_a_key_refuses_to_serve() -> None:
    environment = {name: value for name, value in os.environ.items() if name != llama.KEY_VARIABLE}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moa_server.embedded.llama"), stderr=asyncio.subprocess.PIPE, env=environment
    )
    _, errors = await child.communicate()
    assert child.returncode == 1
    assert llama.KEY_VARIABLE in errors.decode()
