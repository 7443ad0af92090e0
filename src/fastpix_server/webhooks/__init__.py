"""Webhooks: endpoints of workspaces, and the signed delivery of events to them."""
