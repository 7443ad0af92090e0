"""The fastpix client and command line. Imports nothing of the server."""
