"""Symbolic links below a root: each real folder is gone through once, whatever leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.readers.sources.files import is_hidden

LOST = "lost"
"""Type of what is listed and is a link that leads to nothing."""


class Links:
    """The links of one walk.

    Folders that are found by going down from the root are gone through first. A link to one of these adds
    nothing; one to a folder elsewhere is gone through after them, once for its real folder.

    Parameters
    ----------
    fs
        An fsspec filesystem; only a local one has links.
    root
        Of the walk.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._local = isinstance(fs, LocalFileSystem)
        self._root = os.path.realpath(root) if self._local else root
        self._waiting: list[str] = []
        self._gone_through: set[str] = set()

    def listed(self, folder: str) -> list[Mapping[str, Any]]:
        """What lies in a folder, by name: links as what they lead to, those to folders put off.

        Raises
        ------
        OSError
            It cannot be listed.
        """
        found = []
        for info in sorted(self._fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
            if not info.get("islink"):
                found.append(info)
                continue
            followed = self._followed(info)
            if followed["type"] == "directory":
                self._waiting.append(str(info["name"]))
            else:
                found.append(followed)
        return found

    def put_off(self) -> Iterator[str]:
        """Links to folders that nothing else leads to, in the order in which they were found."""
        while self._waiting:
            link = self._waiting.pop(0)
            if is_hidden(link) or self.found_itself(link) or self._around(os.path.realpath(link)):
                continue
            if self.first_time(link):
                yield link

    def first_time(self, folder: str) -> bool:
        """Whether a folder below a link was not gone through before; it is then noted."""
        real = os.path.realpath(folder)
        new = real not in self._gone_through
        self._gone_through.add(real)
        return new

    def found_itself(self, path: str) -> bool:
        """Whether the real file or folder is found by going down from the root."""
        if not self._local:
            return False
        real = os.path.realpath(path)
        if real != self._root and not real.startswith(self._root.rstrip("/") + "/"):
            return False
        below = real[len(self._root) :].split("/")
        return not any(map(is_hidden, below))

    def _followed(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return dict(self._fs.info(str(info["name"])))
        except OSError:
            return {**info, "type": LOST, "size": 0}

    def _around(self, real: str) -> bool:
        return self._root.startswith(real.rstrip("/") + "/")
