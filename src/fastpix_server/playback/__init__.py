"""Playback ids, who may play, manifests, and segments made on demand."""
