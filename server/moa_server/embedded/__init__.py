"""Serves a real, small model on this machine and runs the demo on top of it."""
