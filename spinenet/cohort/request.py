"""What a user asks of a run: one object for the command, the flow and ``run.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spinenet.cohort.freeze import Change
from spinenet.cohort.retry import Retry
from spinenet.settings import SHARD_SIZE, Settings
from spinenet.timelimit import SECONDS_PER_SCAN
from spinenet.weights.names import PUBLISHED

ColumnType = Literal["text", "integer", "number", "boolean", "date"]
"""Names of :data:`spinenet.cohort.manifests.column_types.TYPES`."""


_NOT_KEPT = {"manifest", "out", "weights", "change", "retry", "retry_failed"}
"""Fields that ``run.json`` holds elsewhere or in another form, or that are of one start alone."""


class RunRequest(BaseModel):
    """A run of a manifest: what is read, with what, and where the tables go.

    Examples
    --------
    >>> from spinenet.cohort.request import RunRequest
    >>> request = RunRequest(manifest="manifest.csv", out="OUT", weights="synthetic")
    >>> request.shard_size, request.device
    (64, 'auto')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str = Field(
        min_length=1, description="The manifest, at any fsspec URL: CSV, TSV, JSON lines or Parquet."
    )
    out: str = Field(min_length=1, description="Folder of the run and its tables, at any fsspec URL.")
    weights: str = Field(
        default=PUBLISHED, description="Weights: a name, a folder or a URL. Nothing is downloaded."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N, where scans are inferred.")
    shard_size: int = Field(
        default=SHARD_SIZE,
        ge=1,
        description="Scans that are committed together; a run that was begun keeps its own.",
    )
    seconds_per_scan: float = Field(
        default=SECONDS_PER_SCAN,
        ge=1,
        description="Time limit of each scan, in decoding and in inference; it then fails by time_limit.",
    )
    skip_penalty: bool = Field(default=True, description="Make leaving out a level costly.")
    remove_single_slice: bool = Field(
        default=True, description="Drop vertebrae that were seen in one slice only."
    )
    batch_size: int = Field(
        default=Settings.batch_size, ge=1, description="Patches, vertebrae or discs in one pass of a network."
    )
    types: dict[str, ColumnType] = Field(
        default_factory=dict, description="Types of columns that the manifest carries, by column."
    )
    change: Change = Field(
        default="refuse",
        description="What becomes of a run of something else in OUT: refuse, append (rows added at the "
        "manifest's end) or regrade (all rows anew; detections that still hold are kept).",
    )
    retry: tuple[str, ...] | None = Field(
        default=None,
        description="Read scans again that failed for these reasons. Without it, those whose "
        "surroundings may have failed and not the scan, three starts at the most.",
    )
    retry_failed: bool = Field(
        default=False, description="Read all scans again that failed, for whatever reason."
    )
    keep_going: bool = Field(
        default=False,
        description="Mark scans as failed that fail by their surroundings, however many they are.",
    )

    @property
    def settings(self) -> Settings:
        """The settings of the computation."""
        return Settings(self.skip_penalty, self.remove_single_slice, self.batch_size)

    @property
    def rows_to_retry(self) -> Retry:
        """Which failed rows are read again.

        Raises
        ------
        ReasonError
            There is no such reason.
        """
        if self.retry_failed:
            return Retry.of_all()
        return Retry() if self.retry is None else Retry.of(self.retry)

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` keeps as it was asked: what a later process of the same run goes by."""
        return self.model_dump(mode="json", include=set(RunRequest.model_fields) - _NOT_KEPT)
