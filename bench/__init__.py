"""What moa costs: measured through real sockets, beside its peers, as ratios within one run."""
