"""Translates between the messages of the contract and the words of the house; it asks nobody and does nothing."""
