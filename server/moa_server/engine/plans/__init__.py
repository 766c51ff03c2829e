"""Makes a bounded plan of a query."""
