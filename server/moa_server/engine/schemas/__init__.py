"""Schemas of structured answers: held to a vocabulary whose cost has a bound, and checked a slice at a time."""
