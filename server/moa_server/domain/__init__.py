"""The words of the house as values, its errors, and the ports it asks others to fill."""
