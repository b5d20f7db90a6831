"""`python -P -m bus.cli` is `rise`."""

from bus.cli import main

main()
