"""Draws a run's agents on a terminal while they speak."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from moa.cli.lines import one_line
from moa.cli.progress import AgentProgress, State

if TYPE_CHECKING:
    from moa.cli.progress import RunProgress

_STYLE = {State.WAITING: "dim", State.SPEAKING: "cyan", State.DONE: "green", State.FAILED: "red"}
_MARK = {State.WAITING: "·", State.SPEAKING: "▸", State.DONE: "✓", State.FAILED: "✗"}
_REDRAWS_A_SECOND = 8
_CHARACTERS_A_TOKEN = 4


class LiveTable:
    """A table of agents that is redrawn in place until it is left; its last state stays."""

    def __init__(self, progress: "RunProgress", out: TextIO) -> None:
        console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._progress = progress
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _draw(self) -> Table:
        # Another thread feeds the progress: its rows are copied before they are walked.
        now = self._progress.server_time(time.time())
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for layer in list(self._progress.layers.values()):
            for agent in list(layer.agents.values()):
                table.add_row(str(layer.index), *_cells(agent, now))
        return table


def _cells(agent: AgentProgress, now: float) -> tuple[Text, ...]:
    style = _STYLE[agent.state]
    took = agent.seconds(now)
    tokens = f"~{agent.written // _CHARACTERS_A_TOKEN:,} tokens" if agent.written else ""
    if agent.tokens:
        tokens = f"{agent.tokens:,} tokens"
    about = Text(
        agent.reason or one_line(agent.model), "red" if agent.reason else "dim", no_wrap=True, overflow="ellipsis"
    )
    return (
        Text(f"{_MARK[agent.state]} {one_line(agent.name)}", style, no_wrap=True, overflow="ellipsis"),
        Text(agent.state.value, style, no_wrap=True),
        Text("" if took is None else f"{took:.1f} s", no_wrap=True),
        Text(tokens, no_wrap=True),
        about,
    )
