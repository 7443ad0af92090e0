"""Publishers come in here: RTMP(S), SRT and WHIP become tracks and samples. Bytes and sockets only, no database."""
