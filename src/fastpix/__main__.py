"""`python -m fastpix`: the same program as `fastpix`."""

from fastpix.cli import main

main()
