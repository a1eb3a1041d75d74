"""The documents as a site: built without a warning, its links lead somewhere, and it holds all there is."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.profiles.keys.catalogue import SECTIONS
from lab.documents.document import DOCS
from lab.documents.reference import helps
from lab.paths import ROOT
from model.invariants.catalogue import NOUNS

CODES = [value.code for value in vars(catalogue).values() if isinstance(value, Code)]


class Page(HTMLParser):
    """What a page is called by, leads to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values:
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])


def built(source: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """As `make docs` builds it, elsewhere."""
    options = re.search(r"-m sphinx (.*) -d ", (ROOT / "Makefile").read_text())
    assert options
    python = ROOT / ".venv" / "bin" / "python"
    words = [python, "-m", "sphinx", *options[1].split(), "-d", folder / "trees", "-b", "html", source]
    return subprocess.run(
        [*words, folder / "html"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(DOCS, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_document_is_a_page(site: Path) -> None:
    for path in DOCS.rglob("*.md"):
        assert (site / path.relative_to(DOCS)).with_suffix(".html").exists()


def test_links_lead_somewhere(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].ids if target in pages else None
            if not target.exists() or (parts.fragment and known is not None and parts.fragment not in known):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert [link for page in pages.values() for link in page.loaded if urlsplit(link).netloc] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?https?:[^)]*\)|@import[^;]*;", styles) == []


def test_every_command_code_and_invariant_has_its_place(site: Path, pages: dict[Path, Page]) -> None:
    assert {each.name for each in helps()} <= pages[site / "commands.html"].ids
    assert {code.lower() for code in CODES} <= pages[site / "findings.html"].ids
    text = (site / "invariants.html").read_text()
    assert [each.id for rules in NOUNS.values() for each in rules if each.id not in text] == []
    text = (site / "profiles.html").read_text()
    assert [section.name for section in SECTIONS if section.name not in text] == []
    assert "coronel_gdb.protocols.Target" in pages[site / "api.html"].ids


def test_a_broken_link_and_a_page_that_nothing_lists_are_errors(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    (source / "index.md").write_text("# Index\n\nSee [nowhere](nowhere.md).\n")
    (source / "alone.md").write_text("# Alone\n")
    (tmp_path / "qemu").symlink_to(ROOT / "qemu")
    done = built(source, tmp_path)
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr
    assert "alone.md: WARNING: document isn't included in any toctree" in done.stderr
