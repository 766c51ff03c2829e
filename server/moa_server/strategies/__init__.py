"""The rules that decide who speaks next, by the names the configuration gives them."""

from collections.abc import Mapping
from typing import Any

from moa_server.domain.strategy import Strategy
from moa_server.strategies.aggregate import AGGREGATE
from moa_server.strategies.cascade import CASCADE
from moa_server.strategies.coordinate import COORDINATE
from moa_server.strategies.debate import DEBATE
from moa_server.strategies.rank import RANK
from moa_server.strategies.refine import REFINE
from moa_server.strategies.review import REVIEW
from moa_server.strategies.route import ROUTE
from moa_server.strategies.self_mixture import SELF_MIXTURE
from moa_server.strategies.self_mixture_sequential import SELF_MIXTURE_SEQUENTIAL
from moa_server.strategies.vote import VOTE

__all__ = ["STRATEGIES"]

STRATEGIES: Mapping[str, Strategy[Any]] = {
    "aggregate": AGGREGATE,
    "cascade": CASCADE,
    "coordinate": COORDINATE,
    "debate": DEBATE,
    "rank": RANK,
    "refine": REFINE,
    "review": REVIEW,
    "route": ROUTE,
    "self_mixture": SELF_MIXTURE,
    "self_mixture_sequential": SELF_MIXTURE_SEQUENTIAL,
    "vote": VOTE,
}
