"""Reading and writing scans under the published package's import path; see :mod:`spinenet.published.io`."""

from spinenet.published.io import *  # noqa: F403
from spinenet.published.io import __all__ as __all__
