"""Room on the cluster for scans: few are sent ahead, however long the manifest."""

from __future__ import annotations

import threading

from flows.clusters.address import Slots

FEWEST = 16
"""Scans of the smallest window: lots of eight, and some 200 MB of decoded scans where inference is slow."""


class Window:
    """How many scans may be on the cluster at once, over all shards in flight.

    Room is given out in lots: a message to the scheduler costs about the same for one scan as for several.
    Between two lots the workers go on with what is there.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a window has room for at least one scan")
        self.size = size
        self._lot = max(1, size // 2)
        self._free = size
        self._changed = threading.Condition()

    @classmethod
    def over(cls, slots: Slots) -> Window:
        """Four scans for each slot of a worker; with half of them left, none of the workers is idle."""
        return cls(max(FEWEST, 4 * (slots.cpu + slots.gpu)))

    def shards_in_flight(self, shard_size: int) -> int:
        """Shards that fill the window, and one more that decodes while another's last scans are read."""
        return 1 + -(-self.size // shard_size)

    def take(self, wanted: int, patience: float) -> int:
        """Room for up to ``wanted`` scans; none if there is not a lot within ``patience`` seconds."""
        lot = min(wanted, self._lot)
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= lot, patience):
                return 0
            taken = min(wanted, self._free)
            self._free -= taken
            return taken

    def give(self, room: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._free += room
            self._changed.notify_all()
