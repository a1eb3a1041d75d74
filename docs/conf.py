"""What Sphinx reads for `make docs`; all that is the project's own is in qemu/lab/documents/site.py."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
# qemu/ is no package, its folder `lab` is.
sys.path[:0] = [str(_ROOT), str(_ROOT / "qemu")]

project = "coronel-gdb"
author = "the authors of coronel-gdb"
extensions = ["myst_parser", "sphinx.ext.autodoc", "lab.documents.site"]
source_suffix = {".md": "markdown"}
root_doc = "index"

# Links to a heading are written as every viewer of Markdown makes them.
myst_heading_anchors = 3
# A block of code is what a terminal shows, unless it says otherwise.
highlight_language = "text"
# The docstrings are plain text: what stands between single backquotes is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}

html_theme = "furo"
html_title = "coronel-gdb"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
