"""Carries a plan to an answer."""
