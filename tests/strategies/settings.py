"""The settings of every strategy, from its own test file."""

from importlib import import_module

from moa_server.strategies import STRATEGIES
from tests.strategies.rosters import Setting

SETTINGS: tuple[Setting, ...] = tuple(
    setting for name in STRATEGIES for setting in import_module(f"tests.strategies.test_{name}").SETTINGS
)
