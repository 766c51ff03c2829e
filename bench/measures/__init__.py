"""The measurements, one a file, by name."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from bench.measures.brownout import brownout
from bench.measures.cost import cost
from bench.measures.hanging import hanging
from bench.measures.linearity import linearity
from bench.measures.memory import memory
from bench.measures.overhead import overhead
from bench.measures.storm import storm
from bench.measures.straggler import straggler
from bench.scale import Scale
from bench.table import Figure

Measure = Callable[[Scale], Coroutine[None, None, Sequence[Figure]]]

MEASURES: Final[Mapping[str, Measure]] = {
    "overhead": overhead,
    "cost": cost,
    "memory": memory,
    "linearity": linearity,
    "straggler": straggler,
    "brownout": brownout,
    "hanging": hanging,
    "storm": storm,
}
