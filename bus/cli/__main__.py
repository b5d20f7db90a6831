"""`python -P -m bus.cli` is `rise`."""

from bus.rise import main

main()
