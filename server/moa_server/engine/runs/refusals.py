"""Leaves the proposals of agents that declined out of a layer, while enough others hold."""

import re
from collections.abc import Sequence

from moa_server.domain.proposal import AgentFailure, Proposal

_LONGEST_REFUSAL = 400
"""A text that goes on after its apology is taken for an answer."""
_OPENINGS = re.compile(
    r"\s*(?:(?:i['’]?m (?:very )?sorry|sorry|i apologi[sz]e|unfortunately|as an ai(?: [a-z]+){0,2}),? (?:but )?){0,2}"
    r"i(?: can(?:not|['’]t| not)| am (?:unable|not able)|['’]m (?:unable|not able)| won['’]?t| must decline)"
    r"(?: to)? (?:help|assist|comply|answer|provide|fulfil|engage|do that|with that|discuss|respond|continue)\b"
    r"(?! (?:but|thinking|feeling|noticing|wondering|liking|loving))",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:but|however|instead|that said|nevertheless|still|though|although|here(?:['’]s| is| are)|"
    r"the answer|in short|without)\b|[:=`]|\n\s*\S",
    re.IGNORECASE,
)
"""What stands in a text that declines a part and gives the rest: it is taken for an answer."""


def is_refusal(text: str) -> bool:
    """Whether a text does nothing but decline, as far as its words tell; only English is known.

    In doubt it is an answer: what is wrongly left out is lost, and what is wrongly shown is weighed by its readers.
    """
    opening = _OPENINGS.match(text) if len(text) <= _LONGEST_REFUSAL else None
    return opening is not None and _GOES_ON.search(text, opening.end()) is None


def sift(proposals: Sequence[Proposal], needed: int) -> tuple[tuple[Proposal, ...], tuple[AgentFailure, ...]]:
    """Part the proposals from the refusals; if too few would be left, the refusals stay what they are."""
    refused = [proposal for proposal in proposals if is_refusal(proposal.text)]
    kept = [proposal for proposal in proposals if proposal not in refused]
    if len(kept) < max(needed, 1):
        return tuple(proposals), ()
    return tuple(kept), tuple(proposal.declined() for proposal in refused)
