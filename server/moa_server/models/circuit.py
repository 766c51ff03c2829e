"""The health of one model at one endpoint: what its calls say of it, and whether it is asked at all.

A call says something by how it ends, and by being silent. Whoever stopped waiting, a deadline, a quorum, a rival or a
caller that left, a silence well beyond the model's own pace is held against it; a call that was cut before that says
nothing. Any byte ends a silence. Calls in a row that were silent so open the circuit, however few: each of them has
cost somebody more time than all the others that fail.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

import structlog

from moa_server.domain import errors
from moa_server.domain.model import Reply, TimeLimits
from moa_server.domain.reliability import BreakerRule
from moa_server.models.silence import HearingClock, UsualSilence
from moa_server.models.window import Window

_PROBE_HINT_S: Final = 1.0
"""What to wait while somebody else's probe is under way."""
_MOST_DOUBTFUL: Final = 64
"""Of the calls that were given up as silent, of which it is not known yet whether the model hung."""

_logger = structlog.get_logger(__name__)


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """A probe is under way; no other call is let through."""


Watch = Callable[[str, BreakerState], None]
"""Told the model's name and the new state of its breaker."""


class Circuit:
    """Opens when too many calls fail, lets one probe through after a break, and closes when it speaks."""

    def __init__(self, name: str, rule: BreakerRule, times: TimeLimits, watch: Watch) -> None:
        self.name = name
        self._silence = UsualSilence(rule.silence_s, times)
        # Who reasons is silent for longer: the one pace says nothing of the other.
        longest = max(times.reasoning, times.first_token)
        self._reasoning = UsualSilence(rule.silence_s, replace(times, first_token=longest))
        self.clock = HearingClock(self._look)
        self.floor_s = rule.silence_s
        self.hears_whole_answers = times.until_whole
        self._rule = rule
        self._watch = watch
        self._window = Window(rule.window_s)
        self._open_until = 0.0
        self._probe: Pass | None = None
        self._under_way: set[Pass] = set()
        self._never_spoke = 0
        """Calls in a row that were silent from the beginning, with none that began to speak between them."""
        self._broke_off = 0
        """Calls in a row that fell silent in the middle, with none that ended well between them."""
        self._doubtful: deque[tuple[UsualSilence, int, float]] = deque(maxlen=_MOST_DOUBTFUL)
        """Of the calls that were given up, and of which it is not known yet whether the model hung: what is usual for
        them, their sizes and their silences."""
        self._was_silence = False
        """Whether it was opened by one that never spoke."""
        self.state = BreakerState.CLOSED

    @property
    def wants_probe(self) -> bool:
        """Whether the break is over, so that the next call would be the probe."""
        return self.state is BreakerState.OPEN and self._open_until <= _now()

    def check(self) -> None:
        """Do nothing if a call would be let through now.

        Raises:
            ModelBreakerOpen: it is open, or a probe is under way.
        """
        left = self._open_until - _now()
        if self.state is BreakerState.OPEN and left > 0:
            raise errors.ModelBreakerOpen(f"{self.name} failed too often and is left alone", retry_after_s=left)
        if self.state is BreakerState.HALF_OPEN:
            raise errors.ModelBreakerOpen(f"{self.name} is being tried after its failures", retry_after_s=_PROBE_HINT_S)

    def silence(self, *, reasons: bool) -> UsualSilence:
        """Return what is known of the calls for which the model reasons first, or of the others."""
        return self._reasoning if reasons else self._silence

    def enter(self, size: int, *, reasons: bool, has_stand_ins: bool) -> "Pass":
        """Let a call of so many tokens through; the first after the break is the probe.

        Raises:
            ModelBreakerOpen: as ``check``.
        """
        self.check()
        if not self._under_way:
            self.clock.start()
        is_probe = self.state is BreakerState.OPEN
        entered = Pass(self, self.silence(reasons=reasons), size, may_be_hurried=has_stand_ins or is_probe)
        self._under_way.add(entered)
        if is_probe:
            self._probe = entered
            self._turn(BreakerState.HALF_OPEN)
        return entered

    def leave(self, call: "Pass") -> None:
        """Let a call go that has ended."""
        self._under_way.discard(call)
        if not self._under_way:
            self.clock.stop()

    def count(self, *, failed: bool) -> None:
        """Note how a call ended that says something about the endpoint, and open if too many failed."""
        if not failed:
            self._broke_off = 0
        self._window.add(calls=1, marked=int(failed))
        calls, failures = self._window.counts()
        # While it is half open, only its probe decides: calls from before the break may still end badly.
        too_many = calls >= self._rule.least_calls and failures >= self._rule.share * calls
        if failed and too_many and self.state is BreakerState.CLOSED:
            self._was_silence = False
            self._open(_now() + self._rule.open_s)

    def count_silence(self, call: "Pass", seconds: float, *, spoken: bool, in_a_row: bool = True) -> None:
        """Note a call that was silent for too long, after it had ``spoken`` or not; open for too many in a row."""
        was_closed = self.state is BreakerState.CLOSED
        self.count(failed=True)
        if spoken:
            self._broke_off += in_a_row
        else:
            self._never_spoke += in_a_row
            self._doubtful.append((call.usual, call.size, seconds))
        if self.state is BreakerState.CLOSED and max(self._broke_off, self._never_spoke) >= self._rule.least_silent:
            self._open(_now() + self._rule.open_s)
        if was_closed:
            self._was_silence = not spoken

    def heard(self) -> None:
        """Note that the model speaks: then whoever was silent before it was so by chance, or it is only slow."""
        self._never_spoke = 0
        # How long they would have taken is not known, only that it was longer. To leave them out would hold the model
        # to the pace of its quick answers for ever.
        for usual, size, seconds in self._doubtful:
            usual.note_before(size, seconds)
        self._doubtful.clear()
        # Of a call from before the break: it was opened for nothing, and what is usual has just been learned.
        if self._was_silence and self.state is BreakerState.OPEN:
            self._close()

    def settle(self, probe: "Pass", *, healthy: bool | None) -> None:
        """Draw the conclusion from a probe, if it is one; None means that it tells nothing and another is made."""
        if self._probe is not probe:
            return
        self._probe = None
        if healthy:
            self._close()
        else:
            # A probe that told nothing costs no further break: the time it was let in after is over already.
            self._open(_now() + self._rule.open_s if healthy is False else self._open_until)

    def give_up_probe(self, by: asyncio.Task[Reply]) -> None:
        """Draw the conclusion from the probe that this task is about, if it is, for which nobody waits any longer.

        One that has shown a sign of life and is not late is believed, until the next silence.
        """
        probe = self._probe
        if probe is None or probe.task is not by:
            return
        usual = probe.usual.usual(probe.size)
        lives = probe.lives and usual is not None and self.clock.time() - probe.started < usual
        self.settle(probe, healthy=lives)
        if lives:
            self._never_spoke = self._rule.least_silent - 1

    def usual_s(self, size: int, *, reasons: bool) -> float:
        """Return the time after which the model has nearly always begun to speak; nothing if that is not known."""
        return self.silence(reasons=reasons).usual(size) or 0.0

    def _look(self) -> None:
        for call in tuple(self._under_way):
            call.look()

    def _close(self) -> None:
        self._window.clear()
        self._never_spoke = self._broke_off = 0
        self._doubtful.clear()
        self._turn(BreakerState.CLOSED)

    def _open(self, until: float) -> None:
        self._open_until = until
        self._turn(BreakerState.OPEN)

    def _turn(self, state: BreakerState) -> None:
        self.state = state
        _logger.info("breaker.turned", model=self.name, state=state.value)
        self._watch(self.name, state)


class Pass:
    """One call that was let through, and what it says of the endpoint."""

    __slots__ = (
        "_circuit",
        "_has_spoken",
        "_longest_s",
        "_since",
        "late",
        "lives",
        "may_be_hurried",
        "scope",
        "size",
        "started",
        "task",
        "usual",
    )

    def __init__(self, circuit: Circuit, usual: UsualSilence, size: int, *, may_be_hurried: bool) -> None:
        self.usual = usual
        """What is known of the silence of calls such as this."""
        self.size = size
        self.started = circuit.clock.time()
        self.task = asyncio.current_task()
        self.may_be_hurried = may_be_hurried
        """Whether somebody else is asked as soon as it is known to be silent for too long."""
        self.lives = False
        """Whether anything has come from the endpoint."""
        self.late: errors.ModelTimeout | None = None
        """Why it was ended here, if it was."""
        self.scope: asyncio.Timeout | None = None
        """What ends it."""
        self._circuit = circuit
        self._since = self.started
        self._longest_s = 0.0
        self._has_spoken = False

    def alive(self) -> None:
        """Something has come from the endpoint."""
        now = self._circuit.clock.time()
        self._longest_s = max(self._longest_s, now - self._since)
        self._since = now
        self.lives = True

    def begun(self) -> None:
        """The model speaks: proof enough for a probe, so that nobody has to wait for its end."""
        self.alive()
        circuit = self._circuit
        self.usual.note_before(self.size, self._longest_s)
        self._longest_s = 0.0
        self._has_spoken = True
        circuit.settle(self, healthy=True)
        circuit.heard()

    def well(self) -> None:
        if self._has_spoken:
            self.usual.note_between(self._longest_s)
        self._circuit.settle(self, healthy=True)
        self._circuit.count(failed=False)

    def failed(self, *, timed_out: bool) -> None:
        circuit, silence = self._circuit, self._silence_s()
        circuit.settle(self, healthy=False)
        if timed_out and silence >= circuit.floor_s:
            circuit.count_silence(self, silence, spoken=self._has_spoken)
        else:
            circuit.count(failed=True)

    def answered(self) -> None:
        """The endpoint does its work, though this call was in vain."""
        self._circuit.settle(self, healthy=True)

    def look(self) -> None:
        """End it if it is silent for longer than the model ever is, and somebody else is to be asked then."""
        if self.scope is None or self._has_spoken or not self.may_be_hurried:
            return
        silence, known = self._silence_s(), self.usual.known(self.size, spoken=False)
        if known is not None and silence >= known:
            self.late = errors.ModelTimeout(
                f"{self._circuit.name} was silent for {silence:.3g} s, longer than it ever is"
            )
            self.late.permanent = True  # to wait for it once more helps nobody
            self.scope.reschedule(asyncio.get_running_loop().time())
            self.scope = None  # it can be moved only once

    def left(self, *, for_another: bool) -> None:
        """Somebody has stopped waiting, maybe ``for_another`` who is to stand in now that its share of time is over.

        A call that is heard out in the end is slow, however slow: only one that is given up was silent for too long.
        """
        self.scope = None
        circuit, spoken, silence = self._circuit, self._has_spoken, self._silence_s()
        longest = known = self.usual.known(self.size, spoken=spoken)
        if longest is None:
            # A share that was silent to its end tells most; else it has to be rather long.
            longest = circuit.floor_s if for_another else self.usual.unknown(spoken=spoken)
        if silence >= longest:
            tells = for_another or known is not None
            if tells:
                circuit.settle(self, healthy=False)
            circuit.count_silence(self, silence, spoken=spoken, in_a_row=tells)

    def over(self) -> None:
        """It has ended; if nothing was said by now, it tells nothing."""
        self.scope = self.late = None  # they lead back here
        self._circuit.settle(self, healthy=None)
        self._circuit.leave(self)

    def _silence_s(self) -> float:
        """Return how long it has been silent, as far as that can be held against it."""
        # Whoever says all at once is silent for as long as the answer is long.
        return 0.0 if self._circuit.hears_whole_answers else self._circuit.clock.time() - self._since


def _now() -> float:
    return asyncio.get_running_loop().time()
