"""Live streams: keys, sessions, low-latency packaging, recording, simulcast, clips."""
