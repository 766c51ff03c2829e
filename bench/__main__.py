"""Runs the measurements that are named, or all of them, and prints each figure beside its target.

Ends well whatever the figures are; only a measurement that broke is an error.
"""

import argparse
import asyncio
import sys

from bench.measures import MEASURES
from bench.noise import noise
from bench.process import ProcessFailedError
from bench.scale import Scale
from bench.table import HEADING, line, title
from moa import MoaError


def _measure(name: str, scale: Scale) -> bool:
    print(title(name))
    try:
        for figure in asyncio.run(MEASURES[name](scale)):
            print(line(figure), flush=True)
    except (AssertionError, ExceptionGroup, MoaError, OSError, ProcessFailedError, TimeoutError) as error:
        print(f"  broken: {type(error).__name__}: {error}", flush=True)
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all when left out")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="a few runs of each, to see that it works")
    length.add_argument("--long", action="store_true", help="the brown-out in its full length, more runs of the others")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASURES)
    if unknown:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    return arguments


def main() -> int:
    """Measure what was asked for."""
    arguments = _arguments()
    scale = Scale.QUICK if arguments.quick else Scale.LONG if arguments.long else Scale.USUAL
    print(HEADING)
    print(noise("before"))
    sound = [_measure(name, scale) for name in arguments.names or MEASURES]
    print("\n" + noise("after"))
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
