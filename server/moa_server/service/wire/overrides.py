"""Reads what a caller changes about a mixture."""

from collections.abc import Sequence
from typing import Final

import orjson
from google.protobuf.duration_pb2 import Duration

from moa.v1 import plan_pb2 as pb
from moa_server.domain.budget import Budget
from moa_server.domain.limits import Limits
from moa_server.domain.query import Overrides
from moa_server.domain.sampling import Sampling
from moa_server.service.wire.findings import Findings

_MOST_SCHEMA_BYTES: Final = 64 * 1024
_MOST_STOPS: Final = 4
_MOST_STOP_CHARACTERS: Final = 256
_MOST_NAME_CHARACTERS: Final = 128
_SMALLEST: Final = 5e-324
_DAYS_OF_A_CENTURY: Final = 36_525
_LONGEST_S: Final = _DAYS_OF_A_CENTURY * 86_400.0


def read_overrides(overrides: pb.Overrides, field: str, limits: Limits, findings: Findings) -> Overrides:
    """Return the overrides, and note what is wrong with them."""
    return Overrides(
        sampling=_sampling(overrides.sampling, f"{field}.sampling", findings),
        layers=_layers(overrides.layers, f"{field}.layers", limits, findings),
        aggregator=read_name(overrides.aggregator, f"{field}.aggregator", findings),
        budget=_budget(overrides.budget, f"{field}.budget", findings),
        response_schema=_schema(overrides.response_schema, f"{field}.response_schema", findings),
        seed=overrides.seed if overrides.HasField("seed") else None,
    )


def read_name(name: str, field: str, findings: Findings) -> str:
    """Return a name of something configured, and note if it cannot be one."""
    fits = len(name) <= _MOST_NAME_CHARACTERS and (name.isprintable() or not name)
    findings.check(fits, field, f"is no name: it has more than {_MOST_NAME_CHARACTERS} characters, or unprintable ones")
    return name if fits else ""


def read_duration(duration: Duration, field: str, findings: Findings) -> float:
    """Return a length of time in seconds, and note if it is negative or no length at all."""
    seconds = duration.seconds + duration.nanos / 1e9
    fits = 0 <= seconds <= _LONGEST_S and abs(duration.nanos) < 10**9 and duration.nanos >= 0
    findings.check(fits, field, "is negative or out of range; it must be a length of time")
    return seconds if fits else 0.0


def _sampling(sampling: pb.Sampling, field: str, findings: Findings) -> Sampling:
    def given(name: str) -> bool:
        return sampling.HasField(name)  # type: ignore[arg-type]  # one of its own names

    read = Sampling(
        temperature=sampling.temperature if given("temperature") else None,
        top_p=sampling.top_p if given("top_p") else None,
        max_tokens=sampling.max_tokens if given("max_tokens") else None,
        seed=sampling.seed if given("seed") else None,
        stop=tuple(sampling.stop),
        presence_penalty=sampling.presence_penalty if given("presence_penalty") else None,
        frequency_penalty=sampling.frequency_penalty if given("frequency_penalty") else None,
    )
    _check_sampling(read, field, findings)
    return read


def _check_sampling(sampling: Sampling, field: str, findings: Findings) -> None:
    findings.check_range(sampling.temperature, f"{field}.temperature", 0, 2)
    if sampling.top_p is not None:
        findings.check(_SMALLEST <= sampling.top_p <= 1, f"{field}.top_p", "must be above 0 and at most 1")
    if sampling.max_tokens is not None:
        findings.check(
            sampling.max_tokens >= 1, f"{field}.max_tokens", f"is {sampling.max_tokens}; it must be at least 1"
        )
    findings.check_range(sampling.presence_penalty, f"{field}.presence_penalty", -2, 2)
    findings.check_range(sampling.frequency_penalty, f"{field}.frequency_penalty", -2, 2)
    if findings.check(len(sampling.stop) <= _MOST_STOPS, f"{field}.stop", f"has more than {_MOST_STOPS} texts"):
        for place, stop in enumerate(sampling.stop):
            fits = 0 < len(stop) <= _MOST_STOP_CHARACTERS
            findings.check(fits, f"{field}.stop[{place}]", f"must have from 1 to {_MOST_STOP_CHARACTERS} characters")


def _layers(
    layers: Sequence[pb.LayerOverride], field: str, limits: Limits, findings: Findings
) -> tuple[tuple[str, ...], ...]:
    if not findings.check(
        len(layers) < limits.layers,
        field,
        f"has {len(layers)} layers; with the answering one it may have {limits.layers}",
    ):
        return ()
    return tuple(
        _agents(layer.agents, f"{field}[{place}].agents", limits, findings) for place, layer in enumerate(layers)
    )


def _agents(agents: Sequence[str], field: str, limits: Limits, findings: Findings) -> tuple[str, ...]:
    most = limits.agents_per_layer
    if not findings.check(0 < len(agents) <= most, field, f"has {len(agents)} agents; a layer has from 1 to {most}"):
        return ()
    for place, agent in enumerate(agents):
        findings.check(agent != "", f"{field}[{place}]", "is empty; name an agent")
    return tuple(read_name(agent, f"{field}[{place}]", findings) for place, agent in enumerate(agents))


def _budget(budget: pb.Budget, field: str, findings: Findings) -> Budget:
    calls = budget.calls if budget.HasField("calls") else None
    tokens = budget.tokens if budget.HasField("tokens") else None
    cost = budget.cost_nanousd if budget.HasField("cost_nanousd") else None
    time_s = read_duration(budget.time, f"{field}.time", findings) if budget.HasField("time") else None
    for name, value in (("calls", calls), ("tokens", tokens), ("cost_nanousd", cost)):
        if value is not None:
            findings.check(value >= 0, f"{field}.{name}", f"is {value}; it must not be negative")
    return Budget(calls, tokens, cost, time_s)


def _schema(text: str, field: str, findings: Findings) -> str | None:
    """Return a schema that is an object in JSON; what it says is for those to judge who hold answers to it."""
    if not text:
        return None
    if len(text) > _MOST_SCHEMA_BYTES:
        findings.add(field, f"has {len(text)} characters; it may have {_MOST_SCHEMA_BYTES}")
        return None
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError:
        findings.add(field, "is not JSON; it must be a JSON Schema")
        return None
    findings.check(isinstance(schema, dict), field, "is no JSON object; it must be a JSON Schema")
    return text
