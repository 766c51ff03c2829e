"""Says how calm the machine is: the same work, many times, should take the same time."""

import os
import time

from bench.table import quantile

_TIMES = 100


def _work() -> int:
    return sum(number * number for number in range(50_000))


def noise(when: str) -> str:
    """Do a piece of work many times and return how its durations differ."""
    wall, cpu = time.perf_counter(), time.process_time()
    durations = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        _work()
        durations.append(time.perf_counter() - began)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    middle, worst = quantile(durations, 0.5), quantile(durations, 0.99)
    return (
        f"noise {when}: a loop of {middle * 1e3:.1f} ms, p99 {worst / middle:.2f} × that, "
        f"{share:.0%} of a core had, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
