"""How a model picks its words."""

from dataclasses import dataclass, fields, replace
from typing import Annotated

from moa_server.domain.quantities import Length, Range, Tokens

Penalty = Annotated[float, Range(least=-2, most=2)]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model picks its words; what is left out stays as the endpoint has it."""

    temperature: Annotated[float, Range(least=0, most=2)] | None = None
    """From 0, the most predictable, to 2."""
    top_p: Annotated[float, Range(above=0, most=1)] | None = None
    """The share of probability that words are picked from."""
    max_tokens: Tokens | None = None
    """The most tokens to be written, reasoning included."""
    seed: Annotated[int, Range(least=0, below=2**63)] | None = None
    """Makes an endpoint that honours it repeat itself."""
    stop: Annotated[tuple[Annotated[str, Length(least=1, most=256)], ...], Length(most=4)] = ()
    """Texts that end an answer, at most four."""
    presence_penalty: Penalty | None = None
    """Above 0, words already said become less likely."""
    frequency_penalty: Penalty | None = None
    """Above 0, words become less likely the more often they were said."""

    def over(self, base: "Sampling") -> "Sampling":
        """Return these settings, and those of ``base`` where these are silent."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, ())}
        return replace(base, **said)
