"""Makes events of what happens, and finds them again."""
