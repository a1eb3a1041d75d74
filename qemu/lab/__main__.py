"""`python -m lab demo` and `python -m lab debug …`: the front ends."""

import importlib
import sys

from lab.surface import run

# Imported only when signals are already handled: Ctrl-C while Python still loads gives one line, too.
name, *arguments = sys.argv[1:]
run(name, lambda: importlib.import_module(f"lab.{name}").main(arguments))
