"""The fastpix platform: media, live, data and keys behind the FastPix API.

Import order (checked by import-linter in `make test`): app > api|edge > media > playback >
access > outbox > jobs > storage|db > engine > base. A package imports only what is below it.
"""
