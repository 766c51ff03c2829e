"""How references are put before the agents of an aggregating layer, one form a file."""

from collections.abc import Callable, Mapping

from moa_server.domain.mixture import PromptForm
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts import fenced, paper

FORMS: Mapping[PromptForm, Callable[..., Brief]] = {
    PromptForm.FENCED: fenced.brief,
    PromptForm.PAPER: paper.brief,
}


def brief(plan: Plan, weights: tuple[float, ...] = (), *, answers: bool = False) -> Brief:
    """Return how a plan puts references; ``weights`` are theirs, in the order in which they are shown."""
    return FORMS[plan.rules.prompt_form](plan, weights, answers=answers)
