"""Makes a bounded plan of a query: what is offered, what the caller may change, what it can cost at the most.

It knows mixtures, models' prices and windows, and a strategy's outline. It does not know how a run is carried out.
"""
