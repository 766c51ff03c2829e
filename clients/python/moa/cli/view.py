"""Shows the events of a run: as JSON, as lines, or as a live board and an answer."""

import sys
import time
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol, Self, TextIO

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from moa.cli.board import Board
from moa.cli.plain_text import safe
from moa.cli.words import end_line, line_of
from moa.v1.event_pb2 import Event


class View(Protocol):
    """What is shown of a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, event: Event) -> None:
        """Show one event."""


class JsonView:
    """One JSON object a line for every event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, event: Event) -> None:
        """Print one event."""
        print_json(event)


class PeopleView:
    """The layers on standard error, as lines or live, and the answer on standard output as it streams."""

    def __init__(self, *, layers: bool, live: bool) -> None:
        self._board = Board()
        self._layers = layers
        self._lines = layers and not live
        self._drawing = ExitStack()
        self._line_open = False

    def __enter__(self) -> Self:
        if self._layers and not self._lines:
            board = _live_board(self._board, sys.stderr)
            self._lines = board is None
            if board is not None:
                self._drawing.enter_context(board)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.close()
        self._end_line()

    def show(self, event: Event) -> None:
        """Show one event."""
        half_said = bool(self._board.answer)
        self._board.feed(event, time.time())
        fact = event.WhichOneof("fact")
        if fact == "answer_delta":
            self._say(event.answer_delta.text)
        elif fact == "answer_restarted" or (fact == "run_adopted" and half_said):
            self._tell("the answer begins again")
        elif self._board.end is not None:
            self._end()
        elif self._lines:
            self._tell(line_of(event, self._board))

    def _say(self, text: str) -> None:
        self._drawing.close()  # an answer can be longer than the screen: it is written below the board
        print(safe(text), end="", flush=True)
        self._line_open = not text.endswith("\n")

    def _end(self) -> None:
        self._drawing.close()
        end = self._board.end
        if end is not None and end.HasField("run_succeeded") and not self._board.answer:
            self._say(end.run_succeeded.answer.text)  # watched from a place after the pieces, or not streamed
        if self._layers and end is not None and end.HasField("run_succeeded"):
            self._tell(end_line(self._board))

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


def _live_board(board: Board, out: TextIO) -> AbstractContextManager[object] | None:
    try:
        from moa.cli.live import LiveBoard  # noqa: PLC0415 - rich comes with the extra `cli` alone
    except ImportError:
        print("moa: for a live view install moa-client[cli]", file=out)
        return None
    return LiveBoard(board, out)
