"""Counts votes by weight, and knows when no vote to come can change the outcome."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from moa_server.domain.proposal import Proposal, Vote
from moa_server.strategies.parts.ballots import Extractor

TIE_RULES = ("first", "seeded")


@dataclass(frozen=True, slots=True)
class Choice:
    """What some voted for."""

    text: str
    voters: tuple[Proposal, ...]
    """In configured order."""

    @property
    def weight(self) -> Fraction:
        """What they weigh together, without rounding."""
        return sum((weight_of(voter.weight) for voter in self.voters), Fraction())

    @property
    def vote(self) -> Vote:
        """Return it as the answer carries it."""
        return Vote(self.text, float(self.weight), tuple(voter.agent for voter in self.voters))


@dataclass(frozen=True, slots=True)
class Counting:
    """How votes are read and how a tie is broken."""

    read: Extractor
    tie: str
    seed: int

    def choices(self, proposals: tuple[Proposal, ...]) -> tuple[Choice, ...]:
        """Return what was voted for, the winner first; a text without a vote counts nowhere."""
        ballots: dict[str, list[Proposal]] = {}
        for proposal in proposals:
            text = self.read(proposal.text)
            if text is not None:
                ballots.setdefault(text, []).append(proposal)
        found = [Choice(text, tuple(voters)) for text, voters in ballots.items()]
        return tuple(sorted(found, key=self._rank))

    def _rank(self, choice: Choice) -> tuple[Fraction, bytes, int]:
        drawn = hashlib.sha256(f"{self.seed}:{choice.text}".encode(errors="replace")).digest()
        return (-choice.weight, drawn if self.tie == "seeded" else b"", choice.voters[0].position)


def settled(counting: Counting, weights: tuple[float, ...], *, whole: bool) -> Callable[[tuple[Proposal, ...]], bool]:
    """Return whether votes decide the matter whatever those still to come say.

    Where the answer is the whole text of the first who voted for it, that voter must be certain too.
    """
    total = sum(map(weight_of, weights), Fraction())

    def enough(proposals: tuple[Proposal, ...]) -> bool:
        choices = counting.choices(proposals)
        if not choices:
            return False
        to_come = total - sum((weight_of(proposal.weight) for proposal in proposals), Fraction())
        runner_up = choices[1].weight if len(choices) > 1 else Fraction()
        if choices[0].weight - runner_up <= to_come:
            return False
        return not whole or _come_before(proposals, choices[0].voters[0].position)

    return enough


def _come_before(proposals: tuple[Proposal, ...], position: int) -> bool:
    return sum(proposal.position < position for proposal in proposals) == position


def weight_of(weight: float) -> Fraction:
    """Return a weight as it was written, so that 0.1 and 0.2 weigh 0.3."""
    return Fraction(str(weight))
