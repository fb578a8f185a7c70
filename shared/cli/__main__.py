"""`python -m shared.cli`: the streamwheel command."""

from shared.cli.main import main

main()
