"""Shows the work: traces, metrics and logs, and the names of everything in them."""
