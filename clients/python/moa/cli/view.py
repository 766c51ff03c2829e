"""Shows the events of a run: as JSON, as lines, or as a live table and an answer."""

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from moa.cli.lines import end_line, line_of, safe
from moa.cli.progress import RunProgress
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import WatchRunResponse


class View(Protocol):
    """What is shown of a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, event: Event, run_id: str) -> None:
        """Show one event of a run."""


class JsonView:
    """One JSON object a line for every event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, event: Event, run_id: str) -> None:
        """Print one event, as it comes in a message."""
        print_json(WatchRunResponse(run_id=run_id, events=[event]))


class PeopleView:
    """The layers on standard error, as lines or live, and the answer on standard output as it streams."""

    def __init__(self, *, layers: bool, live: bool) -> None:
        self._progress = RunProgress()
        self._layers = layers
        self._lines = layers and not live
        self._drawing = ExitStack()
        self._line_open = False

    def __enter__(self) -> Self:
        if self._layers and not self._lines:
            try:
                from moa.cli.live_table import LiveTable  # noqa: PLC0415 - rich comes with the extra `cli` alone
            except ImportError:
                print("moa: for a live view install moa-client[cli]", file=sys.stderr)
                self._lines = True
            else:
                self._drawing.enter_context(LiveTable(self._progress, sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.close()
        self._end_line()

    def show(self, event: Event, run_id: str) -> None:
        """Show one event of a run."""
        self._progress.run_id = run_id
        half_said = bool(self._progress.answer)
        self._progress.feed(event, time.time())
        match event.WhichOneof("fact"):
            case "answer_delta":
                self._say(event.answer_delta.text)
            case "answer_restarted":
                self._tell("the answer begins again")
            case "run_adopted" if half_said:
                self._tell("the answer begins again")
            case "run_succeeded":
                self._drawing.close()
                if not self._progress.answer:  # watched from a place after its pieces, or not streamed
                    self._say(event.run_succeeded.answer.text)
                if self._layers:
                    self._tell(end_line(self._progress))
            case "run_failed" | "run_cancelled":
                self._drawing.close()  # the command tells the error
            case _ if self._lines:
                self._tell(line_of(event, self._progress))

    def _say(self, text: str) -> None:
        self._drawing.close()  # an answer can be longer than the screen: it is written below the table
        print(safe(text), end="", flush=True)
        self._line_open = not text.endswith("\n")

    def _tell(self, line: str | None) -> None:
        if line is not None:
            self._end_line()
            print(line, file=sys.stderr, flush=True)

    def _end_line(self) -> None:
        if self._line_open:
            print(flush=True)
            self._line_open = False


def view(*, json: bool, layers: bool) -> View:
    """Return the view that fits what was asked for and where it is shown."""
    return JsonView() if json else PeopleView(layers=layers, live=is_live())


def is_live() -> bool:
    """Return whether a person is looking."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def print_json(message: Message) -> None:
    """Print a message on one line, with the contract's own names."""
    print(MessageToJson(message, preserving_proto_field_name=True, indent=None), flush=True)
