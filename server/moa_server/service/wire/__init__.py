"""Translates between the messages of the contract and the words of the house."""
