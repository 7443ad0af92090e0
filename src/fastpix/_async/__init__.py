"""The asynchronous client. `fastpix/_sync` is made from this folder by `python -m tools.make_sync`."""
