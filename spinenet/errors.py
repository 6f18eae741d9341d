"""The error tree: each error is also the standard error that a caller would expect."""

from __future__ import annotations

from collections.abc import Sequence


class SpinenetError(Exception):
    """Base of every error that spinenet raises on purpose. Its text is one sentence for the user."""


class ScanError(SpinenetError, ValueError):
    """A scan that cannot be used.

    Parameters
    ----------
    reason
        A code of :data:`spinenet.anatomy.REASONS`.
    detail
        One sentence for the user, free of patient identity.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    def to_keep(self) -> ScanError:
        """The same without its traceback, whose frames would hold the bytes of the files that were read."""
        return ScanError(self.reason, self.detail)


class ManifestError(SpinenetError, ValueError):
    """A manifest that cannot be read or breaks its contract."""


class RulesError(SpinenetError, ValueError):
    """Rules that cannot be read or name what there is not."""


class LabelsError(SpinenetError, ValueError):
    """A labelled scan, or a list of them, that cannot be used for training."""


class RecipeError(SpinenetError, ValueError):
    """A training recipe that cannot be read, or asks for what there is not."""


class TrainingError(SpinenetError, RuntimeError):
    """A training that cannot begin or go on."""


class WeightsError(SpinenetError, RuntimeError):
    """A weights bundle that is absent, incomplete, altered, or does not fit its networks."""


class LicenceNotAccepted(WeightsError):  # noqa: N818 - a decision, not a defect
    """Weights were asked for without accepting their terms."""


class RunError(SpinenetError, RuntimeError):
    """A run that cannot start, go on or be finalised."""


STOPPED = "the run was stopped; start it again to go on where it was"
"""What a user who stopped a run is told."""


class Stopped(RunError):  # noqa: N818 - a wish of the user's, no defect
    """The run was asked to stop; what is committed stays."""


class OtherRun(RunError):  # noqa: N818 - says what was found
    """An output folder that holds a run of something else."""


class PartError(RunError):
    """A part of a run's shards that there is not, or that is written wrongly."""


class Holes(RunError):  # noqa: N818 - says what is missing
    """Shards of a run that are not done.

    Attributes
    ----------
    shards
        Their numbers, counted from 0.
    """

    def __init__(self, sentence: str, shards: Sequence[int]) -> None:
        super().__init__(sentence)
        self.shards = tuple(shards)


class ClusterNameError(RunError):
    """A cluster named in a way that stands for none."""


class StorageError(SpinenetError, OSError):
    """Storage that refused, or does not keep a promise that a run needs."""


class OutputError(StorageError):
    """A place for results that cannot be written to."""


class ReasonError(SpinenetError, ValueError):
    """A reason was named that is none of :data:`spinenet.anatomy.REASONS`."""


class RootError(StorageError):
    """A place to look for series in that is not there, or is named wrongly."""


class DiscError(SpinenetError, ValueError):
    """A disc whose image cannot be made; its text goes into :class:`spinenet.types.DiscFailure`."""
