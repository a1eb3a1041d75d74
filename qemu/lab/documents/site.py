"""An extension of Sphinx: the documents as they are read in plain files become pages of one site.

index.md lists the pages as ordinary links, by which the site's contents are made; a page that is written from
the code is written anew; a row of docs/findings.md becomes a section of its own; a document that is named as
code becomes a link; a link to what is no page (a source file, README.md) becomes its name.
"""

import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from pygments.lexer import RegexLexer, bygroups
from pygments.token import Generic
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

from lab.documents.document import DOCS
from lab.documents.reference import written_pages
from lab.documents.sections import findings_as_sections

_LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_NAMED = re.compile(r"(?:docs/)?([\w/-]+)\.md")
_IN_TEXT = re.compile(r"\bdocs/([\w/-]+)\.md\b")


class Session(RegexLexer):  # type: ignore[misc]  # Pygments has no types
    """What a terminal shows: what was typed and the first line of a finding stand out."""

    name = "session of a debugger or a shell"
    tokens: ClassVar = {
        "root": [
            (r"^(\((?:gdb|lldb)\) |\$ )(.*\n)", bygroups(Generic.Prompt, Generic.Strong)),
            (r"^(?:[A-Z]+\d{3}|CAUSE) .*\n", Generic.Error),
            (r".*\n", Generic.Output),
        ]
    }


def setup(app: Sphinx) -> dict[str, object]:
    """What Sphinx calls when it loads an extension."""
    app.add_lexer("text", Session)
    app.connect("source-read", _as_page)
    app.connect("doctree-resolved", _link_named_documents)
    return {"parallel_read_safe": True}


def contents(index: str) -> str:
    """The toctrees that a page's own lists of links stand for, one a heading."""
    parts = []
    for section in re.split(r"^## ", index, flags=re.M)[1:]:
        caption = section.partition("\n")[0]
        links = [link for link in _LINK.finditer(section) if link[2].endswith(".md")]
        pages = [f"{link[1].replace('`', '')} <{link[2].removesuffix('.md')}>" for link in links]
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
    """docs/replay.md in a text, as code or not, becomes a link to that page, by its file's name."""

    def link(page: str, shown: nodes.Node) -> nodes.Node:
        return make_refnode(app.builder, name, page, "", [shown])

    def is_other(page: str) -> bool:
        return page in app.env.found_docs and page != name

    for literal in list(tree.findall(nodes.literal)):
        found = _NAMED.fullmatch(literal.astext())
        if found and is_other(found[1]) and not isinstance(literal.parent, nodes.reference):
            literal.replace_self(link(found[1], nodes.literal("", Path(found[0]).name)))
    for text in list(tree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.paragraph):
            continue
        parts: list[nodes.Node] = []
        end = 0
        for found in _IN_TEXT.finditer(text):
            if is_other(found[1]):
                parts += [
                    nodes.Text(text[end : found.start()]),
                    link(found[1], nodes.Text(Path(found[0]).name)),
                ]
                end = found.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])
