"""The scripted upstream keeps its word: what the other tests stand on."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from tests.upstream import Call, Request, Speech, Status, Upstream, UpstreamThread


async def ask(endpoint: str, model: str = "m", path: str = "/chat/completions") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        question = {"model": model, "messages": [{"role": "user", "content": "two words"}]}
        return await client.post(endpoint + path, json=question)


async def test_scripts_are_played_in_order_and_the_last_again() -> None:
    async with Upstream() as upstream:
        upstream.script("m", Status(500), Status(429), Speech("ok"))
        assert [(await ask(upstream.endpoint)).status_code for _ in range(4)] == [500, 429, 200, 200]
        assert [call.number for call in upstream.calls_of("m")] == [0, 1, 2, 3]


async def test_a_script_may_be_made_of_the_request() -> None:
    def echo(request: Request) -> Speech:
        return Speech(request.body["messages"][0]["content"])

    async with Upstream() as upstream:
        upstream.script("*", echo)
        assert "words" in (await ask(upstream.endpoint)).text


async def test_an_unknown_model_is_not_found() -> None:
    async with Upstream() as upstream:
        assert (await ask(upstream.endpoint)).status_code == 404


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
async def test_the_ledger_knows_what_was_sent(path: str) -> None:
    async with Upstream() as upstream:
        upstream.script("m", Speech(tokens=7))
        answer = await ask(upstream.endpoint, path=path)
        assert Speech(tokens=7).whole().split()[-1] in answer.text
        [call] = upstream.calls
        assert (call.tokens_sent, call.input_tokens, call.aborted) == (7, 2, None)
        assert call.reported is not None
        assert 7 in call.reported.values()
        assert call.first_byte is not None
        assert call.closed is not None
        assert call.opened <= call.first_byte <= call.closed


async def test_a_caller_that_goes_is_noticed() -> None:
    async with Upstream() as upstream:
        upstream.script("m", Speech(tokens=1000, token_s=0.01))
        task = asyncio.create_task(ask(upstream.endpoint))
        await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].tokens_sent)
        task.cancel()
        await upstream.wait_for(lambda: upstream.calls[0].aborted and not upstream.open_connections)


async def test_waiting_for_what_never_comes_says_so() -> None:
    async with Upstream() as upstream:
        with pytest.raises(AssertionError, match="did not come true"):
            await upstream.wait_for(lambda: upstream.calls, timeout=0.01)


def test_the_thread_serves_those_without_a_loop() -> None:
    with UpstreamThread() as upstream:
        upstream.script("m", Speech("hello"))
        answer = httpx.post(upstream.endpoint + "/chat/completions", json={"model": "m"}, trust_env=False)
        assert "hello" in answer.text
        [call] = upstream.upstream.calls
        assert isinstance(call, Call)


def test_the_process_speaks_as_the_models_name_says() -> None:
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        question = {"model": "tokens-3-first-0-each-0"}
        answer = httpx.post(endpoint + "/chat/completions", json=question, trust_env=False)
        assert answer.text.count("word") == 3
        process.communicate()
    assert process.returncode == 0
