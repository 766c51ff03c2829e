"""How a model picks its words."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of one call; None leaves the endpoint's own value."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """The most tokens to be written, reasoning included."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def over(self, base: "Sampling") -> "Sampling":
        """Return these settings, and those of ``base`` where these are silent."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, ())}
        return replace(base, **said)
