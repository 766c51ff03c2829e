"""Makes events of what happens, has the journal keep them, and finds them again.

It knows the journal, and which run is open here. It does not know what a layer is for, nor what anything costs.
"""
