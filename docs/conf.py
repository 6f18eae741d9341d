"""Settings of the site: ``python -m sphinx -W --keep-going docs site``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import made  # noqa: E402 - found beside this file

import spinenet  # noqa: E402

project = "spinenet"
author = copyright = "spinenet contributors"
version = release = spinenet.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"spinenet {release}"
html_copy_source = False
html_show_sphinx = False


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Put what is made of the code into a page as it is read."""
    source[0] = made.filled(source[0])


def setup(app: Any) -> None:
    """Register the hook."""
    app.connect("source-read", fill)
