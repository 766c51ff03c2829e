"""Runs the command as ``python -m moa.cli``."""

import sys

from moa.cli.command import main

sys.exit(main())
