"""`make invariants`: write docs/invariants.md anew; a test holds it against the code."""

from collections.abc import Sequence

from lab.paths import ROOT
from model.invariants.catalogue import as_markdown

INVARIANTS = ROOT / "docs" / "invariants.md"


def main(_arguments: Sequence[str] = ()) -> int:
    """Rewrite the document."""
    INVARIANTS.write_text(as_markdown())
    return 0
