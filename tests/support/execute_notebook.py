"""Executes a notebook, in the present folder: ``execute_notebook.py NOTEBOOK RESULT``.

The kernel talks through sockets in a folder of its owner alone, and not over TCP.
"""

from __future__ import annotations

import sys
import tempfile

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

SECONDS = 600
"""The most for one cell."""

if __name__ == "__main__":
    source, result = sys.argv[1:]
    notebook = nbformat.read(source, nbformat.NO_CONVERT)
    # a socket's path may have some 100 characters, fewer than a test's own folder can have
    with tempfile.TemporaryDirectory() as sockets:
        kernel = AsyncKernelManager(transport="ipc", ip=f"{sockets}/kernel", kernel_name="python3")
        NotebookClient(notebook, km=kernel, timeout=SECONDS, startup_timeout=120).execute()
    nbformat.write(notebook, result)
