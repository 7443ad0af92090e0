"""The platform as an emulator for tests: `plugin` has the pytest fixtures, the other modules work without pytest.

Invariants: nothing of the server is imported, the platform is a process; what pytest loads at its start (this and
`plugin`) imports nothing but pytest, since every test run of an environment with fastpix in it pays for that.
"""
