"""Plugins for coronel-gdb, one module each."""
