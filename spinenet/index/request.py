"""What an index is asked for, as plain values: a command line, a form or another program can say them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class IndexRequest(BaseModel):
    """An archive whose series are to be found, and the manifest that is to be written of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str = Field(
        min_length=1,
        description="A folder, archive or file, at any fsspec URL, as the flow and the workers see it.",
    )
    out: str = Field(
        min_length=1,
        description="The manifest to write, at any fsspec URL: .parquet, .csv, .tsv or .jsonl. One that is "
        "there is gone on with: what has not changed since is not read again.",
    )
    rules: str | None = Field(
        default=None,
        description="TOML file of rules for the choice of series, at any fsspec URL; those of the package "
        "where none is given.",
    )
    subject_key_file: str | None = Field(
        default=None,
        description="File of a secret, 16 bytes or more: subjects are named by a hash of PatientID. Only the "
        "file is named here, and the secret is shown nowhere.",
    )
    subjects: str | None = Field(
        default=None, description="CSV of path and subject_id, at any fsspec URL: subjects are named by it."
    )
    cluster: str = Field(
        default="local", description="local, or a Dask scheduler's tls://HOST:PORT or tcp://HOST:PORT."
    )
