"""Ids, clock, errors, units, log: what every room may use and that uses no room."""
