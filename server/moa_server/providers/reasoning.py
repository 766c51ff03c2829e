"""Takes reasoning between tags out of a text that comes in any pieces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tags:
    """What stands before and after reasoning."""

    opening: str
    closing: str


THINK = Tags("<think>", "</think>")


class ReasoningFilter:
    """Tells text to be heard from reasoning. The start of what may become a tag is held back until it is clear."""

    def __init__(self, tags: Sequence[Tags], *, begins_inside: bool = False) -> None:
        self._tags = tags
        self._may_open = re.compile("|".join(re.escape(tag.opening[0]) for tag in tags) or "(?!)").search
        self._inside = tags[0] if begins_inside and tags else None
        self._held = ""
        self._strips = False
        """Whether white space is dropped: between reasoning and a text that has not begun."""
        self._spoken = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what is to be heard of it, and what is reasoning."""
        # Nearly every piece is plain text, and costs one search for the tags' first characters.
        if not (self._held or self._inside or self._strips or self._may_open(piece)):
            self._spoken = self._spoken or bool(piece.strip())
            return piece, ""
        text, start = self._held + piece, 0
        said: list[str] = []
        thought: list[str] = []
        # Where each tag comes next, looked for again only when it is passed: a piece may be full of tags.
        ahead: dict[str, int] = {}
        while True:
            inside = self._inside
            wanted = [tag.opening for tag in self._tags] if inside is None else [inside.closing]
            for tag in wanted:
                if -1 < ahead.get(tag, 0) <= start:
                    ahead[tag] = text.find(tag, start)
            places = [(ahead[tag], -len(tag), tag) for tag in wanted if ahead[tag] >= 0]
            at, _, found = min(places, default=(-1, 0, ""))  # the first, and of those in one place the longest
            end = at if found else len(text) - _length_of_start(text[start:], wanted)
            if inside is None:
                said.append(self._shown(text[start:end]))
            else:
                thought.append(text[start:end])
            if not found:
                self._held = text[end:]
                return "".join(said), "".join(thought)
            start = at + len(found)
            if inside is None:
                self._inside = next(tag for tag in self._tags if tag.opening == found)
            else:
                self._inside = None
                self._strips = not self._spoken

    def end(self) -> tuple[str, str]:
        """Return what was held back, now that nothing more comes."""
        rest, self._held = self._held, ""
        return ("", rest) if self._inside is not None else (self._shown(rest), "")

    def _shown(self, text: str) -> str:
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        self._spoken = self._spoken or bool(text.strip())
        return text


def _length_of_start(text: str, wanted: Sequence[str]) -> int:
    """Return the length of the longest end of the text that may be the start of a tag."""
    longest = min(len(text), max((len(tag) for tag in wanted), default=0))
    return next((size for size in range(longest, 0, -1) if any(tag.startswith(text[-size:]) for tag in wanted)), 0)
