"""`make invariants`: write the reference in docs/profiles.md anew; a test holds it against the code."""

from collections.abc import Sequence

from coronel_gdb.profiles.keys.catalogue import as_markdown
from lab.paths import ROOT

PROFILES = ROOT / "docs" / "profiles.md"
_HEADING = "## Reference\n"


def with_reference(text: str) -> str:
    """The document with all behind its heading written from the code."""
    return f"{text.partition(_HEADING)[0]}{_HEADING}\n{as_markdown()}\n"


def main(_arguments: Sequence[str] = ()) -> int:
    """Rewrite the document."""
    PROFILES.write_text(with_reference(PROFILES.read_text()))
    return 0
