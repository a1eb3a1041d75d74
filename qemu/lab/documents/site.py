"""An extension of Sphinx: the documents as they are read in plain files become pages of one site.

index.md lists the pages as ordinary links, by which the site's contents are made; a page that is written from
the code is written anew; a row of docs/findings.md becomes a section of its own; a document that is named as
code becomes a link; a link to what is no page (a source file, README.md) becomes its name.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

from lab.documents.document import DOCS
from lab.documents.reference import written_pages
from lab.documents.sections import findings_as_sections

_LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_NAMED = re.compile(r"(?:docs/)?([\w/-]+)\.md")


def setup(app: Sphinx) -> dict[str, object]:
    """What Sphinx calls when it loads an extension."""
    app.connect("source-read", _as_page)
    app.connect("doctree-resolved", _link_named_documents)
    return {"parallel_read_safe": True}


def contents(index: str) -> str:
    """The toctrees that a page's own lists of links stand for, one a heading."""
    parts = []
    for section in re.split(r"^## ", index, flags=re.M)[1:]:
        caption = section.partition("\n")[0]
        pages = [link[2].removesuffix(".md") for link in _LINK.finditer(section) if link[2].endswith(".md")]
        pages = [page for page in pages if not page.startswith("..")]
        parts.append(
            "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])
        )
    return "".join(parts)


def _as_page(app: Sphinx, name: str, source: list[str]) -> None:
    text = _written(app).get(name, source[0])
    if name == app.config.root_doc:
        text += contents(text)
    if name == "findings":
        text = findings_as_sections(text)
    source[0] = _LINK.sub(lambda link: _inside(name, link), text)


def _written(app: Sphinx) -> dict[str, str]:
    """The pages that are written from the code, made once a build."""
    kept: dict[str, str] | None = getattr(app, "_coronel_written", None)
    if kept is None:
        kept = {str(path.relative_to(DOCS).with_suffix("")): text for path, text in written_pages()}
        app._coronel_written = kept  # type: ignore[attr-defined]  # Sphinx has no other place for it
    return kept


def _inside(name: str, link: re.Match[str]) -> str:
    """A link as it is, unless it leads to a file outside the site."""
    if "://" in link[2]:
        return link[0]
    target = (DOCS / name).parent / link[2]
    is_page = target.resolve().is_relative_to(DOCS) and target.suffix == ".md"
    return link[0] if is_page else link[1]


def _link_named_documents(app: Sphinx, tree: nodes.document, name: str) -> None:
    """`docs/replay.md` in a text becomes a link to that page, under its title's file name."""
    known: Any = app.env.found_docs
    for literal in list(tree.findall(nodes.literal)):
        found = _NAMED.fullmatch(literal.astext())
        if found is None or found[1] not in known or found[1] == name:
            continue
        if isinstance(literal.parent, nodes.reference):
            continue
        shown = nodes.literal("", Path(literal.astext()).name)
        literal.replace_self(make_refnode(app.builder, name, found[1], "", [shown]))
