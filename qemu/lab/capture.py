"""`make capture`: write anew what the documents show of the tool, and the pages made from its code."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.documents.document import Session, name, with_sessions
from lab.documents.examples.page import EXAMPLES_PAGE, examples_page
from lab.documents.reference import written_pages
from lab.documents.sessions import boots, captured_at
from lab.documents.stage import Dumps


def main(_arguments: Sequence[str] = ()) -> int:
    """Rewrite the written pages first, for they may hold sessions too, the examples, every captured block."""
    for path, text in written_pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    EXAMPLES_PAGE.write_text(examples_page())
    with TemporaryDirectory(prefix="coronel-doc-") as folder:
        dumps = Dumps(Path(folder))
        for place, blocks in boots().values():
            for path, session, body in captured_at(place, blocks, dumps):
                text = path.read_text()
                new = with_sessions(text, lambda block, old=session, body=body: _body(block, old, body))  # type: ignore[misc]  # bound per round
                path.write_text(new)
                print(f"{name(path)}: {place}{'' if new == text else ', changed'}")
    return 0


def _body(block: Session, old: Session, new: str) -> str:
    return new if block == old else block.body
