"""The ``moa`` command: asks, watches and explains from a shell."""

from moa.cli.command import main

__all__ = ["main"]
