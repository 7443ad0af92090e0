"""Settings, supervisor and wiring: the only place with concrete choices."""
