"""The history of a training: rows of losses and scores by step, as a table, as curves and as event files."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spinenet.storage.disk import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

Row = Mapping[str, float]
"""``step`` (steps done), ``loss`` (mean since the row before), ``rate``, ``samples_per_s``; where the network
was scored, scores named ``SOURCE/SCORE`` too."""
History = Sequence[Row]

_ADVICE = "pip install 'spinenet-cohort[training]'"


def write_history(folder: Path, network: str, history: History, *, curves: bool) -> None:
    """Write ``NETWORK.csv`` in place of an older one, and ``NETWORK.png`` too if curves are to be drawn."""
    write_whole(folder / f"{network}.csv", _table(history).encode())
    if history and curves and curves_can_be_drawn():
        write_whole(folder / f"{network}.png", lambda path: _draw(path, network, history))


def _table(history: History) -> str:
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    return text.getvalue()


def curves_can_be_drawn() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _draw(path: Path, network: str, history: History) -> None:
    from matplotlib.figure import Figure

    scores = list(dict.fromkeys(name for row in history for name in row if "/" in name))
    others = list(dict.fromkeys(name.partition("/")[2] for name in scores if not name.endswith("/loss")))
    panels = ["loss", "rate", *others]
    figure = Figure(figsize=(8, 2.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, axis in zip(panels, axes, strict=True):
        for name in [panel, *(name for name in scores if name.endswith(f"/{panel}"))]:
            points = [(row["step"], row[name]) for row in history if name in row]
            if points:
                steps, values = zip(*points, strict=True)
                axis.plot(steps, values, label=name, marker="o" if "/" in name else None, markersize=3)
        axis.set_ylabel(panel)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    axes[0].set_title(network)
    axes[-1].set_xlabel("step")
    figure.savefig(path, format="png", dpi=110)


def event_writer(folder: Path, network: str, step: int) -> SummaryWriter | None:
    """A writer of TensorBoard's event files in ``events/NETWORK``; None where TensorBoard is not installed.

    Parameters
    ----------
    step
        Steps that are done: what was told of later ones, before a kill, is not shown.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "events" / network), purge_step=step + 1, flush_secs=30)


def tell_event(writer: SummaryWriter | None, row: Row) -> None:
    """Write a row of the history as events."""
    if writer is not None:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, value, int(row["step"]))


def say_what_is_left_out(events: bool) -> None:
    """Log one line where curves or event files cannot be written."""
    absent = [
        text
        for there, text in ((curves_can_be_drawn(), "curves (matplotlib)"), (events, "events (tensorboard)"))
        if not there
    ]
    if absent:
        logger.info("left out as not installed: %s; %s", " and ".join(absent), _ADVICE)
