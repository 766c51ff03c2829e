"""What holds for every test."""

from hypothesis import settings

# Examples are bounded by their number, never by the clock: a busy machine is no failure.
settings.register_profile("moa", deadline=None)
settings.load_profile("moa")
