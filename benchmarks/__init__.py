"""Benchmarks: each area prints one table, every row a ratio against a peer or a limit in the same run."""
