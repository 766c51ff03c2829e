"""The same examples every time, however busy the machine is."""

from hypothesis import settings

settings.register_profile("rules", deadline=None, derandomize=True, database=None, max_examples=400)
settings.load_profile("rules")
