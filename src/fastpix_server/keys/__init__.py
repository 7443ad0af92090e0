"""Signing keys of a workspace, and the tokens that their holders sign for viewers."""
