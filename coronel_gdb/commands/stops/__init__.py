"""Stops of a kernel: one taken, two compared."""
