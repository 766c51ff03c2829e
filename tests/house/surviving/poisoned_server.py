"""`moa-server` with one more strategy, in which a run can hold its server's event loop, as a fault in a rule would.

It is started by its path. What a caller says tells for how long: `hold 3 s!`, or `poison!`, which is for ever.
"""

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from moa_server.__main__ import main
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Layer, Rule
from moa_server.strategies import STRATEGIES

if TYPE_CHECKING:
    from moa_server.domain.answer import Answer

NAME = "poisoned"
_FOR_EVER_S = 300.0
_HOLD = re.compile(r"hold ([\d.]+) s!")
_aggregate = STRATEGIES["aggregate"]


def poisoned(plan: Plan, options: object) -> Rule:
    """Aggregate, but hold the event loop before the second layer, without a turn for anybody."""
    rule = _aggregate.rule(plan, options)
    text = plan.messages[-1].text
    said = _HOLD.search(text)
    hold_s = _FOR_EVER_S if "poison!" in text else float(said[1]) if said is not None else 0.0
    given = None
    layers = 0
    while True:
        try:
            step = rule.send(given)
        except StopIteration as done:
            return cast("Answer", done.value)
        layers += isinstance(step, Layer)
        if layers == 2:
            until = time.monotonic() + hold_s
            while time.monotonic() < until:
                pass
            hold_s = 0.0
        given = yield step


if __name__ == "__main__":
    cast("dict[str, Any]", STRATEGIES)[NAME] = replace(_aggregate, name=NAME, rule=poisoned)
    main()
