"""Sets up what is logged: lines of JSON for programs, readable ones on a terminal, no texts of people or models."""

import json
import logging
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import orjson
import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, Processor, WrappedLogger

from moa_server.domain.operation import Logging
from moa_server.telemetry import names

_HIDDEN: Final = "(hidden)"
_QUIET: Final = ("httpx", "httpcore", "aiohttp", "asyncio", "grpc", "opentelemetry", "urllib3")
"""Libraries of which only warnings are wanted; httpx, for one, logs full addresses."""


def set_up_logs(settings: Logging, stream: BinaryIO | None = None) -> None:
    """Log as ``settings`` say to ``stream``, or else to the standard error."""
    file = sys.stderr.buffer if stream is None else stream
    is_json = settings.log_form == "json" or (settings.log_form == "auto" and not file.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
    ]
    if not settings.record_texts:
        processors.append(_without_texts)
    if is_json:
        # The ready-made transformer logs local variables, and with them what was asked and answered.
        processors.append(structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)))
        processors.append(structlog.processors.JSONRenderer(serializer=_dumped))
    else:
        processors.append(_readable(in_colour=file.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    # What libraries log the standard way goes through the same processors.
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Routed)]
    root.addHandler(_Routed(file, processors))
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _readable(*, in_colour: bool) -> Processor:
    render = structlog.dev.ConsoleRenderer(colors=in_colour, exception_formatter=structlog.dev.plain_traceback)

    def encode(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return render(logger, method, event).encode(errors="backslashreplace")

    return encode


def _dumped(event: EventDict, default: Callable[[Any], Any]) -> bytes:
    """Return a line; what is no JSON, such as half a character, is escaped rather than lost."""
    try:
        return orjson.dumps(event, default=default)
    except TypeError:
        return json.dumps(event, default=repr, skipkeys=True).encode()


def _with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if names.LOG_TRACE_ID not in event:
        found = trace.get_current_span().get_span_context()
        if found.is_valid:
            event[names.LOG_TRACE_ID] = trace.format_trace_id(found.trace_id)
    return event


def _without_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in names.LOG_TEXTS & event.keys():
        event[key] = _HIDDEN
    return event


class _Routed(logging.Handler):
    """Writes the lines of libraries as those of the house are written."""

    def __init__(self, file: BinaryIO, processors: list[Processor]) -> None:
        super().__init__()
        self._file = file
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            line: Any = {"event": record.getMessage(), "logger": record.name}
            if record.exc_info:
                line["exc_info"] = record.exc_info
            for process in self._processors:
                line = process(None, record.levelname.lower(), line)
            self._file.write(line + b"\n")
            self._file.flush()
        except Exception:  # noqa: BLE001 - the border of telemetry: a line that cannot be written harms nothing else
            self.handleError(record)
