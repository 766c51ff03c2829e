"""Translates between the messages of the contract and the words of the house: reads requests, writes what comes of them."""
