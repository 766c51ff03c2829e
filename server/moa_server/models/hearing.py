"""Listens in on what a model says, to know whether it has begun."""

from collections.abc import Callable


class Ear:
    """Passes every piece on, and knows whether there was one."""

    __slots__ = ("_begun", "_hear", "heard")

    def __init__(self, hear: Callable[[str], None], begun: Callable[[], None] | None = None) -> None:
        self.heard = False
        self._hear = hear
        self._begun = begun

    def __call__(self, text: str) -> None:
        if not self.heard:
            self.heard = True
            if self._begun is not None:
                self._begun()
        self._hear(text)
