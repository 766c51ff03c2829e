from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moa_server.settings import ConfigurationRefused, load
from moa_server.strategies import STRATEGIES
from tests.settings.tiny import CHOICES, plain, refused, write


def changed(place: str, value: object) -> dict[str, Any]:
    """A sound configuration with one value set, its path written with dots."""
    data = plain()
    *above, last = place.split(".")
    section = data
    for key in above:
        section = section.setdefault(key, {})
    section[last] = value
    return data


def test_the_plain_configuration_is_sound(tmp_path: Path) -> None:
    assert refused(tmp_path, plain()) == []


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("mixtrues", {}, "mixtrues: there is no key 'mixtrues'; did you mean 'mixtures'?"),
        ("models.small.windw", 1, "models.small.windw: there is no key 'windw'; did you mean 'window'?"),
        ("models.small.times.idel", 1, "models.small.times.idel: there is no key 'idel'; did you mean 'idle'?"),
        ("models.small.concurrency", {"limt": 1}, "concurrency.limt: there is no key 'limt'; did you mean 'limit'?"),
        (
            "models.small.provider",
            "opnai",
            "models.small.provider: there is no provider 'opnai'; did you mean 'openai'?",
        ),
        ("models.small.fallbacks", ["smal"], "fallbacks[0]: there is no model 'smal'; did you mean 'small'?"),
        ("models.small.fallbacks", ["small"], "fallbacks[0]: is the model itself; name another or remove it"),
        ("models.small.hedge", {"model": "large"}, "hedge.model: there is no model 'large'"),
        ("agents.one.model", "smal", "agents.one.model: there is no model 'smal'; did you mean 'small'?"),
        ("mixtures.pair.layers", [["one", "too"]], "layers[0][1]: there is no agent 'too'; did you mean 'two'?"),
        ("mixtures.pair.layers", ["one", "too"], "layers[1]: there is no agent 'too'; did you mean 'two'?"),
        ("mixtures.pair.layers", ["one", ["two"]], "layers: mixes names with lists"),
        ("mixtures.pair.layers", [[]], "layers[0]: has no agents"),
        ("mixtures.pair.layers", 7, "layers: is not a list"),
        ("mixtures.pair.layers", [7], "layers[0]: has the wrong form"),
        ("mixtures.pair.aggregator", "tow", "aggregator: there is no agent 'tow'; did you mean 'two'?"),
        ("mixtures.pair.roles", {"judge": "tow"}, "roles.judge: there is no agent 'tow'"),
        ("mixtures.pair.allow", {"agents": ["tow"]}, "allow.agents[0]: there is no agent 'tow'"),
        ("mixtures.pair.allow", {"agents": ["two", "two"]}, "allow.agents[1]: names 'two' again; keep one"),
        ("mixtures.pair.allow", {"agents": "none"}, "allow.agents: is not one of the choices; write 'all'"),
        ("mixtures.pair.strategy", "agregate", "strategy: there is no strategy 'agregate'; did you mean 'aggregate'?"),
        ("mixtures.pair.options", {"kep": 2}, "options.kep: there is no key 'kep'; did you mean 'keep'?"),
        ("mixtures.pair.options", {"keep": "2"}, "options.keep: is not a whole number; write one, without quotes"),
        ("mixtures.pair.options", {"keep": 0}, "options: keep is too small; keep at least one"),
        (
            "models.small.dialect",
            {"max_token_field": "most"},
            "models.small.dialect.max_token_field: there is no key 'max_token_field'; did you mean 'max_tokens_field'?",
        ),
        ("models.small.dialect", {"usage": "no"}, "models.small.dialect.usage: is neither true nor false"),
        ("models.small.dialect", {"begins_thinking": True}, "models.small.dialect.begins_thinking: needs think_tags"),
        ("mixtures.pair.rules", {"quorum": 3}, "rules.quorum: 3 is more than the 2 proposals that the smallest"),
        ("mixtures.pair.rules", {"when_short": "fial"}, "rules.when_short: is not one of the choices; write 'fail' or"),
        ("mixtures.pair.budget", {"usd": "1.0000000001"}, "budget.usd: has more than nine decimals"),
        ("mixtures.pair.budget", {"usd": 1}, "budget.usd: cannot be kept while model 'small' has no price; give"),
        ("mixtures.pair.budget", {"time": 0}, "budget.time: is too small; it has to be more than 0"),
        ("default_mixture", "pairs", "default_mixture: there is no mixture 'pairs'; did you mean 'pair'?"),
        ("models.small.window", "8192", "models.small.window: is not a whole number; write one, without quotes"),
        ("models.small.window", True, "models.small.window: is not a whole number"),
        ("models.small.images", "yes", "models.small.images: is neither true nor false"),
        ("models.small.max_output", 8192, "max_output: 8192 fills the window of 8192"),
        ("models.small.endpoint", "ftp://x/v1", "endpoint: is not a URL of http or https"),
        ("models.small.endpoint", "http://u:p@x/v1", "endpoint: holds credentials"),
        ("models.small.times", {"idle": "5 parsecs"}, "times.idle: is not a duration; write seconds such as 5"),
        ("models.small.price", {"input": -1, "output": 1}, "price.input: is not an amount of US dollars"),
        ("models.small.price", {"input": 1}, "price.output: is missing; give it a value"),
        ("models.small.concurrency", {"adaptive": True}, "concurrency: adapts between 1 and 256 without a limit"),
        ("models.small.provider", "openai", "models.small.endpoint: is missing, and openai has none of its own"),
        ("agents.one.sampling", {"temperature": 3}, "sampling.temperature: is too large; it has to be at most 2"),
        ("agents.one.sampling", {"max_tokens": 4096}, "max_tokens: 4096 is more than model 'small' may write"),
        (
            "agents.one.sampling",
            {"reasoning_tokens": 2048},
            "2048 leaves none of the 2048 tokens of output for the ans",
        ),
        ("agents.one.sampling", {"max_tokens": 9, "reasoning_tokens": 9}, "9 leaves none of the 9 tokens of output"),
        ("agents.one.sampling", {"reasoning_effort": "huge"}, "is not one of the choices; write 'none', 'minimal'"),
        ("models.small.reasoning_tokens", 4096, "4096 leaves none of the 2048 tokens of output for the answer; write"),
        ("limits.run_time", {"default": "1h"}, "limits.run_time.default: 3600 s is more than the maximum of 600 s"),
        ("limits.message_size", "9MiB", "limits.message_size: 9437184 bytes are more than request_size"),
        ("limits", {"layers": 1}, "mixtures.pair: can come to 2 layers; use fewer, or raise limits.layers above 1"),
        ("limits", {"agents_per_layer": 1}, "layer 0 can come to 2 agents"),
        ("server.listen", "0.0.0.0:50051", "server.listen: without tls, whoever is on the way"),
        ("server.listen", "127.0.0.1", "server.listen: is not an address"),
        ("server.listen", "127.0.0.1:70000", "server.listen: is not an address"),
        ("server.max_connection_age_grace", 10, "max_connection_age_grace: 10 s would cut off the longest run"),
        ("server.tls", {"cert": "no.pem", "key": "no.pem"}, "server.tls.cert: "),
        ("journal", {"memory": {}, "sqlite": {"path": "x"}}, "journal: names memory and sqlite; keep one"),
        ("journal", {"paper": {"path": "x"}}, "journal.paper: there is no journal 'paper'; known are memory, postgres"),
        ("journal", {"sqlit": {"path": "x"}}, "journal.sqlit: there is no key 'sqlit'; did you mean 'sqlite'?"),
        ("journal", {"ownershp": 5}, "journal.ownershp: there is no key 'ownershp'; did you mean 'ownership'?"),
        ("journal.sqlite", {"pth": "x"}, "journal.sqlite.pth: there is no key 'pth'; did you mean 'path'?"),
        ("journal", {"encryption": {"keys": {"file": "no"}}}, "journal.encryption: has nothing to seal"),
        ("telemetry", None, "telemetry: has no value; give it one or remove the key"),
        ("models", {}, "models: has too few entries"),
        ("agents.a\tb", {"model": "small"}, "is not a name; write letters"),
    ],
)
def test_it_is_refused_with_the_path_and_what_would_be_right(
    tmp_path: Path, place: str, value: object, problem: str
) -> None:
    problems = refused(tmp_path, changed(place, value))
    assert any(problem in found for found in problems), problems
    assert all("; " in found and not found.endswith(".") for found in problems)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"]["window"] = "x"
    data["models"]["other"] = {"provider": "nobody"}
    data["agents"]["two"]["model"] = "othr"
    data["mixtures"]["pair"]["aggregator"] = "thre"
    data["server"] = {"listen": "nowhere"}
    found = [problem.partition(":")[0] for problem in refused(tmp_path, data)]
    assert found == [
        "models.small.window",
        "models.other.provider",
        "agents.two.model",
        "mixtures.pair.aggregator",
        "server.listen",
        "server.listen",
    ]


def test_a_refused_entry_is_not_also_called_unknown(tmp_path: Path) -> None:
    data = plain() | {"default_mixture": "pair"}
    data["models"]["small"]["window"] = 0
    assert [problem.partition(":")[0] for problem in refused(tmp_path, data)] == ["models.small.window"]


@pytest.mark.parametrize("default", [120, 0])
def test_nothing_is_judged_by_the_defaults_in_place_of_refused_limits(tmp_path: Path, default: int) -> None:
    data = plain()
    data["limits"] = {"run_time": {"maximum": 60, "default": default}, "layers": 32, "agents_per_layer": 100}
    data["server"] = {"max_connection_age_grace": 90}
    data["models"]["small"]["window"] = 100_000
    data["mixtures"]["pair"]["layers"] = [{"repeat": 20, "agents": ["one"]}, ["one"] * 70]

    (problem,) = refused(tmp_path, data)

    assert problem.startswith("limits.run_time.default: ")


def test_what_a_strategy_calls_impossible_is_refused(tmp_path: Path) -> None:
    data = plain()
    del data["mixtures"]["pair"]["aggregator"]
    assert refused(tmp_path, data) == ["mixtures.pair: has no aggregator; name one"]


@pytest.mark.parametrize(
    ("strategy", "layers", "options", "most"),
    [
        ("self_mixture", [["one"]], {"samples": 5}, 5),
        ("self_mixture_sequential", [["one"]], {"samples": 5, "window": 3}, 3),
        ("vote", [["one", "two"]], {"samples": 3}, 6),
        ("rank", [["one", "two"]], {"samples": 2}, 4),
        ("aggregate", [["one", "two"], ["one"]], {}, 1),
    ],
)
def test_a_quorum_is_of_samples_and_not_of_agents(
    tmp_path: Path, strategy: str, layers: list[list[str]], options: dict[str, int], most: int
) -> None:
    mixture = {"strategy": strategy, "layers": layers, "aggregator": "one", "options": options}
    data = plain() | {"mixtures": {"pair": {**mixture, "roles": {"judge": "one"}, "rules": {"quorum": most}}}}
    data["models"]["small"]["window"] = 100_000
    choices = replace(CHOICES, strategies=STRATEGIES)
    assert load(write(tmp_path, data), choices).mixtures["pair"].rules.quorum == most
    data["mixtures"]["pair"]["rules"]["quorum"] = most + 1
    with pytest.raises(ConfigurationRefused, match=f"{most + 1} is more than the {most} proposals"):
        load(write(tmp_path, data), choices)


def test_a_window_that_cannot_hold_the_mixture_is_refused_with_the_numbers(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"] |= {"window": 1024, "max_output": 600}
    (problem,) = refused(tmp_path, data)
    assert problem == (
        "mixtures.pair: agent 'one' in layer 1 needs 1116 tokens of model 'small', whose window is 1024: "
        "600 to answer, 40 of instructions, 64 of conversation, 412 for 2 references; "
        "lower its max_tokens, show it fewer agents, or give it a model with a larger window"
    )


@pytest.mark.parametrize(
    "place", ["models.small.api_key", "server.callers.search.token", "journal.postgres.dsn"], ids=str
)
@pytest.mark.parametrize(
    "value",
    ["sk-12345", {"value": "sk-12345"}, {"env": "sk-12345"}, {"env": "A", "file": "sk-12345"}, ["sk-12345"]],
    ids=str,
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, place: str, value: object) -> None:
    (problem,) = refused(tmp_path, changed(place, value))
    assert problem.startswith(place)
    assert "sk-12345" not in problem


def test_a_secret_in_the_file_is_answered_with_how_to_refer_to_it(tmp_path: Path) -> None:
    assert refused(tmp_path, changed("models.small.api_key", "sk-12345")) == [
        (
            "models.small.api_key: a secret is never written into the configuration; "
            "write {env: NAME} or {file: PATH}, and keep the secret there, "
            "or {command: [PROGRAM, ARGUMENT], every: 30m}"
        )
    ]


def test_two_callers_with_one_token_are_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t-12345")
    callers = {name: {"token": {"file": "token"}} for name in ("search", "batch")}
    (problem,) = refused(tmp_path, changed("server.callers", callers))
    assert problem.startswith("server.callers.batch.token: is the same as that of search")
    assert "t-12345" not in problem


def test_a_name_with_dots_is_written_in_quotes(tmp_path: Path) -> None:
    data = plain()
    data["models"]["v1.5"] = {"provider": "local", "window": 0}
    assert refused(tmp_path, data) == ['models."v1.5".window: is too small; it has to be at least 1']


def test_a_tokenizer_that_cannot_be_read_is_refused_at_its_key(tmp_path: Path) -> None:
    data = changed("models.small.tokenizer", "tokenizer.json")
    (problem,) = refused(tmp_path, data)
    assert problem.startswith("models.small.tokenizer: ")
    assert "cannot be read" in problem
    (tmp_path / "tokenizer.json").write_text("broken")
    (problem,) = refused(tmp_path, data)
    assert problem.startswith("models.small.tokenizer: ")
    assert "is no tokenizer.json" in problem
