"""The media engine: facts about a source, a plan, and segments made from it. Paths and bytes only; no database."""
