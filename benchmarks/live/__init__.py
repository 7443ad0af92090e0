"""Live: glass to glass against nginx-rtmp and ffmpeg's HLS muxer, cost of a stream, reload wave, recording, soak."""
