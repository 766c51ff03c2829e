"""What holds for every test."""

import os

from hypothesis import Phase, settings

# Examples are bounded by their number, never by the clock: a busy machine is no failure.
settings.register_profile("moa", deadline=None)
# For `make mutants`, which runs a test a thousand times: the same few examples, and no search for the least that fails.
settings.register_profile(
    "few", deadline=None, max_examples=20, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("MOA_EXAMPLES", "moa"))
