"""What the house is compared with: the least that could do the same, and what one would write first."""
