"""Benchmarks of what stands between a viewer and the bytes: the gate, tokens, manifests."""
