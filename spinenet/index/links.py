"""Symbolic links below a root: each real folder is walked once, however many links lead to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.readers.sources.files import is_hidden

LOST = "lost"
"""Type, in a listing, of a link whose target does not exist."""


class Links:
    """The symbolic links of one walk.

    Real folders below the root are walked first. A link to one of them adds nothing; a link to a folder
    elsewhere is followed after them, once for each real folder.

    Parameters
    ----------
    fs
        An fsspec filesystem; only a local one has links.
    root
        Root folder of the walk.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._local = isinstance(fs, LocalFileSystem)
        self._root = os.path.realpath(root) if self._local else root
        self._waiting: list[str] = []
        self._walked: set[str] = set()

    def listed(self, folder: str) -> list[Mapping[str, Any]]:
        """List a folder by name: links appear as their targets, and links to folders are put off.

        Raises
        ------
        OSError
            The folder cannot be listed.
        """
        infos = []
        for info in sorted(self._fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
            if not info.get("islink"):
                infos.append(info)
                continue
            target = self._target(info)
            if target["type"] == "directory":
                self._waiting.append(str(info["name"]))
            else:
                infos.append(target)
        return infos

    def postponed(self) -> Iterator[str]:
        """Links to folders that were not walked otherwise, in the order in which they were listed."""
        while self._waiting:
            link = self._waiting.pop(0)
            if (
                is_hidden(link)
                or self.reached_without_links(link)
                or self._contains_root(os.path.realpath(link))
            ):
                continue
            if self.first_time(link):
                yield link

    def first_time(self, folder: str) -> bool:
        """Whether the real folder was not walked before; it is noted as walked."""
        real = os.path.realpath(folder)
        new = real not in self._walked
        self._walked.add(real)
        return new

    def reached_without_links(self, path: str) -> bool:
        """Whether the walk reaches the real file or folder without following a link."""
        if not self._local:
            return False
        real = os.path.realpath(path)
        if real != self._root and not real.startswith(self._root.rstrip("/") + "/"):
            return False
        below = real[len(self._root) :].split("/")
        return not any(map(is_hidden, below))

    def _target(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return dict(self._fs.info(str(info["name"])))
        except OSError:
            return {**info, "type": LOST, "size": 0}

    def _contains_root(self, real: str) -> bool:
        return self._root.startswith(real.rstrip("/") + "/")
