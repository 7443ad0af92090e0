"""What players and uploaders talk to: manifests, segments, images, upload sessions, the player page."""
