import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.telemetry.collector import Collector, collecting

WORK = Path(__file__).with_name("work.py")
NOTHING = "ProxyTracerProvider _ProxyMeterProvider"
BOTH = "TracerProvider MeterProvider"


def work(**variables: str) -> tuple[str, str]:
    """Work in a process of its own: the providers can be set only once in a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, str(WORK)],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return done.stdout.strip().splitlines()[-1], done.stdout + done.stderr


def endpoint(collector: Collector) -> str:
    return f"http://127.0.0.1:{collector.port}"


def test_nothing_is_exported_unless_it_is_asked_for() -> None:
    assert work()[0] == NOTHING


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_METRICS_EXPORTER": "prometheus"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_an_endpoint_is_not_used_where_the_variables_say_no(variables: dict[str, str]) -> None:
    with collecting() as collector:
        found, said = work(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(collector), **variables)
    assert found == NOTHING
    assert collector.traces == collector.metrics == []
    assert ("not_offered" in said) == any(key in str(variables) for key in ("http", "zipkin"))


def test_an_endpoint_receives_everything_before_the_process_ends() -> None:
    with collecting() as collector:
        found, _ = work(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(collector),
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        )
    assert found == BOTH
    (resource,) = collector.traces[0].resource_spans
    assert resource.scope_spans[0].spans[0].name == "worked"
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.name"] == "moa-server"
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["service.version"]
    assert attributes["service.instance.id"]
    assert collector.metrics[0].resource_metrics[0].scope_metrics[0].metrics[0].name == "works"


def test_traces_can_be_had_alone_and_under_another_name() -> None:
    with collecting() as collector:
        found, _ = work(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint(collector), OTEL_SERVICE_NAME="mine")
    assert found == "TracerProvider _ProxyMeterProvider"
    (resource,) = collector.traces[0].resource_spans
    names = {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
    assert names == {"mine"}


def test_what_the_sampler_leaves_out_is_not_exported() -> None:
    with collecting() as collector:
        work(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(collector), OTEL_TRACES_SAMPLER="always_off")
    assert collector.traces == []


def test_a_collector_that_is_not_there_does_not_hold_up_the_end() -> None:
    found, _ = work(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert found == BOTH
