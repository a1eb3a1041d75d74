"""Debugger commands that cross-check a kernel's memory structures against the reference model."""

VERSION = "0.1.0"
