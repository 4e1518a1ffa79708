"""Run the command line as ``python -m streamsched``."""

from streamsched.cli.main import main

main()
