"""Carries a plan to an answer: drives the strategy, asks the agents, keeps time, quorum and budget.

It knows the plan, the models and the run's log. It does not know who watches, nor which servers there are.
"""
