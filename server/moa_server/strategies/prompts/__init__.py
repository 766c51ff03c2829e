"""What agents are told; here, how references are put before those of an aggregating layer."""

from moa_server.domain.mixture import PromptForm
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts import fenced, paper


def brief(plan: Plan, weights: tuple[float, ...] = (), *, answers: bool = False) -> Brief:
    """Return how a plan puts references; ``weights`` are theirs, in the order in which they are shown."""
    match plan.rules.prompt_form:
        case PromptForm.FENCED:
            return fenced.brief(plan, weights, answers=answers)
        case PromptForm.PAPER:
            # To the letter: the paper tells neither weights nor lengths.
            return paper.put
