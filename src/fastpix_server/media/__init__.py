"""Media: from a URL or an upload to a published, playable thing."""
