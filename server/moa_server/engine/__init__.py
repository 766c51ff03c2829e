"""Carries plans to answers."""
