"""`make corpus`: kernels damaged on purpose, healthy ones stopped at random, judged by all commands."""

from collections.abc import Sequence


def main(arguments: Sequence[str] = ()) -> int:
    """Run the corpus; `--cases N --clean N --seed N --write`."""
    from lab.corpus.run import main as run

    return run(arguments)
