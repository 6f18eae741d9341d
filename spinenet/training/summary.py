"""What became of a training, for the command and the flow; imports no torch, which takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinenet.training.history import Row


@dataclass(frozen=True)
class TrainingSummary:
    """What became of a training.

    Attributes
    ----------
    checkpoint
        The file of its latest state.
    step, steps
        How many are done, and how many there are.
    latest
        The last row of its history; empty where there is none.
    first
        Whether this process is the one that writes and tells.
    """

    network: str
    checkpoint: Path
    step: int
    steps: int
    latest: Row
    first: bool
