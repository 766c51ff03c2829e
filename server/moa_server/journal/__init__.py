"""Keeps runs and their events: in memory, in SQLite, in PostgreSQL. The only room with drivers."""
