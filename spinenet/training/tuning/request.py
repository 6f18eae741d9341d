"""What a fine-tuning is asked for, as plain values."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spinenet.added_findings import Of, Scale

Free = Literal["none", "last", "all"]

FEWEST_POSITIVES = 20
"""Labels of other classes than the first, without which nothing can be learnt or judged."""

_NOT_DECIDING = {"out", "labels", "weights", "bundle", "name", "cache", "processes", "folds", "curve"}
"""Fields on which the weights of one training do not depend, or not by themselves."""


class FinetuneRequest(BaseModel):
    """A finding that is to be learnt from labels of the discs or vertebrae of a finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: str = Field(min_length=1, description="Folder or URL of a finished run; its detections are used.")
    labels: str = Field(
        min_length=1,
        description="CSV, TSV, JSON lines or Parquet with scan_id or subject_id, disc or vertebra, and the "
        "label.",
    )
    finding: str = Field(min_length=1, description="Name of the finding, and of its column in the tables.")
    column: str | None = Field(
        default=None, description="Column of the labels, where it is not called like the finding."
    )
    scale: Scale = Field(default="binary", description="binary, ordinal, or classes without an order.")
    of: Of = Field(default="disc", description="disc or vertebra.")
    codes: dict[int, str] = Field(
        default_factory=dict, description="What each code of the labels says; other codes are refused."
    )
    weights: str | None = Field(
        default=None, description="Bundle to add the finding to; by default the one of the run."
    )
    bundle: str | None = Field(default=None, description="Folder of the new bundle; none is written without.")
    name: str | None = Field(
        default=None, description="What the new bundle calls itself; its folder's name by default."
    )
    free: Free = Field(
        default="none", description="What of the trunk learns too, in a copy: none, its last stage, or all."
    )
    folds: int = Field(default=0, ge=0, description="Parts of a cross-validation; 0 for none.")
    curve: tuple[int, ...] = Field(
        default=(), description="Numbers of subjects to learn from, each scored on the same test side."
    )
    split: str | None = Field(
        default=None, description="Column of the labels that says train, develop or test."
    )
    develop: float = Field(default=0.2, gt=0, lt=0.5, description="Share of subjects that training stops by.")
    test: float = Field(default=0.2, gt=0, lt=0.5, description="Share of subjects that figures are of.")
    seed: int = Field(default=0, ge=0, description="Another seed is another split and another training.")
    steps: int = Field(default=2000, ge=1, description="Steps at the most; early stopping ends before.")
    batch: int = Field(default=64, ge=2, description="Discs or vertebrae of a step.")
    learning_rate: float = Field(default=5e-4, gt=0, description="Of the head; a trunk learns at a tenth.")
    weight_decay: float = Field(default=3.0, ge=0)
    balance: float = Field(
        default=1.0, ge=0, le=1, description="Classes weigh by their frequency to minus this power."
    )
    copies: int = Field(default=4, ge=0, description="Varied copies of each image that a head learns from.")
    cache: str | None = Field(
        default=None, description="Folder or URL for images and features; by default in the run's folder."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    processes: int | None = Field(
        default=None, ge=1, description="Scans that are cut at once; by default the cores."
    )

    @model_validator(mode="after")
    def _folds_fit(self) -> Self:
        if self.folds in (1, 2):
            raise ValueError("a cross-validation needs 3 folds or more: to learn, to stop by and to judge")
        return self

    @property
    def label_column(self) -> str:
        """The column of the labels."""
        return self.column or self.finding

    def deciding(self) -> dict[str, object]:
        """Fields that the weights of one training depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=_NOT_DECIDING)
