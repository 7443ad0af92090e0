"""The REST API: one file per resource, plus auth, errors, pages and dialects."""
