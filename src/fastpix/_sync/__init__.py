"""The synchronous client, made from `fastpix/_async` by `python -m tools.make_sync`."""
