"""Who calls, and what they may do."""

from dataclasses import dataclass

from moa_server.domain.errors import PermissionDenied


@dataclass(frozen=True, slots=True)
class Caller:
    """One who calls."""

    name: str
    mixtures: frozenset[str] | None = None
    """The mixtures it may use; None means all."""

    def may_use(self, mixture: str) -> bool:
        """Return whether it may use a mixture."""
        return self.mixtures is None or mixture in self.mixtures

    def check_mixture(self, mixture: str) -> None:
        """Let it use a mixture.

        Raises:
            PermissionDenied: it may not, whether there is such a mixture or not.
        """
        if not self.may_use(mixture):
            raise PermissionDenied(
                f"{self.name} may not use the mixture {_shortened(mixture)}", metadata={"mixture": _shortened(mixture)}
            )


ANONYMOUS = Caller("anonymous")
"""Anyone, where the operator names no callers."""

_MOST_SHOWN = 64


def _shortened(name: str) -> str:
    return name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}…"
