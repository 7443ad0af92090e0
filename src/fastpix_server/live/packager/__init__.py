"""From samples on a publisher's clock to parts, segments and playlists. No socket, no process, no wait in here."""
