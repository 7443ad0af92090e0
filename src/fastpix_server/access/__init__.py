"""Workspaces and the access tokens that open the management API."""
