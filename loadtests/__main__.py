"""`python -m loadtests copy | dedup | latency | peers`."""

from loadtests.command import main

main()
