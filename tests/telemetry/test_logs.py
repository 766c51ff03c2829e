import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from moa_server.domain.operation import Logging
from moa_server.telemetry.logs import set_up_logs


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(file: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def set_up(file: io.BytesIO | None = None, **settings: Any) -> io.BytesIO:  # noqa: ANN401
    file = file or io.BytesIO()
    set_up_logs(Logging(**settings), file)
    return file


def broken(password: str) -> None:
    raise RuntimeError(len(password))


def test_a_line_is_json_with_what_is_bound() -> None:
    file = set_up()
    structlog.contextvars.bind_contextvars(run_id="7f3", trace_id="abc")
    structlog.get_logger("t").info("layer.closed", layer=1, agent="fast")
    (line,) = lines(file)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "layer.closed",
        "level": "info",
        "run_id": "7f3",
        "trace_id": "abc",
        "layer": 1,
        "agent": "fast",
    }


def test_a_line_is_readable_on_a_terminal() -> None:
    file = set_up(Terminal())
    structlog.get_logger("t").info("layer.closed", layer=1)
    assert b"layer.closed" in file.getvalue()
    assert not file.getvalue().startswith(b"{")


@pytest.mark.parametrize(("form", "start"), [("json", b"{"), ("console", b"20")])
def test_the_form_can_be_chosen(form: str, start: bytes) -> None:
    file = set_up(log_form=form)
    structlog.get_logger("t").info("layer.closed")
    assert file.getvalue().startswith(start)


def test_what_is_less_important_is_not_logged() -> None:
    file = set_up(log_level="warning")
    structlog.get_logger("t").info("layer.closed")
    structlog.get_logger("t").warning("run.lost")
    assert [line["event"] for line in lines(file)] == ["run.lost"]


def test_texts_are_hidden_unless_they_are_wanted() -> None:
    file = set_up()
    structlog.get_logger("t").info("prompt.made", prompt="my secret", text="an answer")
    assert b"my secret" not in file.getvalue()
    assert b"an answer" not in file.getvalue()
    file = set_up(record_texts=True)
    structlog.get_logger("t").info("prompt.made", prompt="my secret")
    assert lines(file)[0]["prompt"] == "my secret"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_fault_is_logged_without_the_values_of_variables(form: str) -> None:
    file = set_up(log_form=form)
    try:
        broken("s3cret" + "-42")
    except RuntimeError as error:
        structlog.get_logger("t").error("call.broke", exc_info=error)
    assert b"RuntimeError" in file.getvalue()
    assert b"test_logs.py" in file.getvalue()
    assert b"s3cret-42" not in file.getvalue()


@pytest.mark.parametrize("value", [object(), "half \ud800 a pair", 2**70, float("nan"), {1: 2}, b"bytes"])
def test_a_line_is_never_lost_for_a_strange_value(value: object) -> None:
    file = set_up()
    structlog.get_logger("t").info("odd.value", value=value)
    assert lines(file)[0]["event"] == "odd.value"


def test_libraries_are_routed_and_quiet() -> None:
    file = set_up()
    logging.getLogger("httpx").info("HTTP Request: GET http://x/?key=secret")
    logging.getLogger("grpc._cython.cygrpc").warning("odd")
    logging.getLogger("another.library").info("told %s", "so")
    found = lines(file)
    assert [(line["event"], line["logger"], line["level"]) for line in found] == [
        ("odd", "grpc._cython.cygrpc", "warning"),
        ("told so", "another.library", "info"),
    ]


def test_setting_up_twice_logs_once() -> None:
    set_up()
    file = set_up()
    logging.getLogger("another.library").warning("once")
    assert len(lines(file)) == 1


def test_a_fault_in_a_library_is_routed_too() -> None:
    file = set_up()
    try:
        broken("x")
    except RuntimeError:
        logging.getLogger("grpc").exception("it broke")
    assert lines(file)[0]["exception"][0]["exc_type"] == "RuntimeError"
