"""``python -m microcalc``."""

from microcalc.cli import main

main()
