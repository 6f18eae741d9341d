"""What a user may change in how a scan is read."""

from __future__ import annotations

from dataclasses import dataclass

SHARD_SIZE = 64
"""Scans that a run commits together."""


@dataclass(frozen=True)
class Settings:
    """What a user may change.

    Attributes
    ----------
    skip_penalty
        Whether leaving out a level costs when levels are decoded.
    remove_single_slice
        Whether vertebrae that were seen in one slice only are dropped.
    batch_size
        Patches, vertebra volumes or discs in one pass of a network.
    """

    skip_penalty: bool = True
    remove_single_slice: bool = True
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError("batch_size must be at least 1")

    @property
    def deciding(self) -> dict[str, bool]:
        """The settings that change results; the batch size does not."""
        return {"skip_penalty": self.skip_penalty, "remove_single_slice": self.remove_single_slice}

    @property
    def deciding_detections(self) -> dict[str, bool]:
        """The settings that detections depend on."""
        return {"remove_single_slice": self.remove_single_slice}
