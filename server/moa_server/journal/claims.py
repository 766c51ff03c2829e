"""Which of the runs that nobody carries out an owner takes over, and which alone. PostgreSQL says the same in SQL."""

from collections.abc import Iterable
from dataclasses import dataclass

from moa_server.domain.event import Event, LayerClosed
from moa_server.domain.run import RunTrial

SUSPECT = 2
"""How many owners a run has lost to silence when it is tried, though nobody knows that it is to blame."""


@dataclass(frozen=True, slots=True)
class Claimable:
    """A run that its owner has released, or was too silent to keep."""

    run_id: str
    owner: str
    """Empty when it was released."""
    owners_lost: int
    """Before this one."""
    trial: RunTrial
    blamed: str | None
    """The run that is to blame for the fall of its owner; empty when nobody knows, None when it has not fallen."""

    def claim(self) -> "Claim":
        """Return what becomes of it when it is claimed."""
        after_loss = self.owner != ""
        lost = self.owners_lost + after_loss
        is_blamed = self.blamed == self.run_id
        # Whoever fell with another run that is to blame is not suspected for it.
        is_suspect = after_loss and lost >= SUSPECT and not self.blamed
        trial = RunTrial.NONE
        if self.trial is RunTrial.FAILED or (self.trial is RunTrial.OPEN and is_blamed):
            trial = RunTrial.FAILED
        elif self.trial is RunTrial.OPEN or is_blamed or is_suspect:
            trial = RunTrial.OPEN
        return Claim(self.run_id, lost, trial, after_loss=after_loss)


@dataclass(frozen=True, slots=True)
class Claim:
    """A run with its next owner."""

    run_id: str
    owners_lost: int
    trial: RunTrial
    after_loss: bool


def claims(found: Iterable[Claimable], limit: int, *, trial: bool) -> list[Claim]:
    """Return what is claimed of those that were found: at most ``limit`` of them, or one alone that is to be tried."""
    made = [one.claim() for one in found]
    others = [claim for claim in made if claim.trial is not RunTrial.OPEN]
    if others or not trial:
        return others[:limit]
    return made[: min(limit, 1)]


def closes_a_layer(events: Iterable[Event]) -> bool:
    """Whether a run that is tried has passed with these events."""
    return any(isinstance(event.fact, LayerClosed) for event in events)
