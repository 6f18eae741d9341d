"""A part of a run's shards, as a job of an array does it: one shard, or every N-th of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spinenet.errors import PartError

AUTO = "auto"

INDEX_VARIABLES: Mapping[str, str | None] = {
    "SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_COUNT",
    "AWS_BATCH_JOB_ARRAY_INDEX": "AWS_BATCH_JOB_ARRAY_SIZE",
    "BATCH_TASK_INDEX": "BATCH_TASK_COUNT",
    "JOB_COMPLETION_INDEX": None,
}
"""Variables with a job's number in its array, of SLURM, AWS Batch, Google Batch and Kubernetes, each with the
one that tells how many jobs the array has."""

_WRITTEN = re.compile(r"(\d+)(?:/(\d+))?")


@dataclass(frozen=True)
class Part:
    """Shards that one process does.

    Attributes
    ----------
    number
        Counted from 0: of the shard, or of the part.
    of
        How many parts there are; None where ``number`` is a shard's.
    """

    number: int
    of: int | None = None

    def __str__(self) -> str:
        """As it is written on the command line."""
        return str(self.number) if self.of is None else f"{self.number}/{self.of}"

    def shards(self, n_shards: int) -> range:
        """Numbers of the shards of this part, in a run of ``n_shards``.

        Parts are the same whoever does them: part K of N has every N-th shard from K on.

        Raises
        ------
        PartError
            There is no such shard.
        """
        if self.of is not None:
            return range(self.number, n_shards, self.of)
        if self.number >= n_shards:
            raise PartError(
                f"there is no shard {self.number}: the run has {n_shards}, counted from 0; "
                "--of N makes an array of N jobs do them all"
            )
        return range(self.number, self.number + 1)


def read_part(text: str, environment: Mapping[str, str], of: int | None = None) -> Part:
    """The part that a job is to do.

    Parameters
    ----------
    text
        "K/N", the number K of a shard, or "auto" for the job's number in its array.
    environment
        Variables of the process.
    of
        Parts in all; None leaves that to ``text`` and the array.

    Raises
    ------
    PartError
        It is none of these, or there is no array.
    """
    if text == AUTO:
        return _of_array(environment, of)
    written = _WRITTEN.fullmatch(text.strip())
    if not written:
        raise PartError(f"'{text}' is no part of a run; write K/N, the number of a shard, or auto")
    number, parts = int(written[1]), int(written[2]) if written[2] else of
    if written[2] and of is not None and parts != of:
        raise PartError(f"'{text}' and --of {of} contradict each other")
    return _checked(number, parts)


def _checked(number: int, of: int | None) -> Part:
    if of is not None and number >= of:
        raise PartError(f"there is no part {number} of {of}: parts are counted from 0 to {of - 1}")
    return Part(number, of)


def _of_array(environment: Mapping[str, str], of: int | None) -> Part:
    """The part of this job: of all jobs where the array is whole, else the shard of the job's number.

    An array that does a few shards again has their numbers, as :func:`array_of` writes them. Where such
    numbers happen to be those of a whole array, its parts hold these shards too.
    """
    present = {name: size for name, size in INDEX_VARIABLES.items() if environment.get(name)}
    if not present:
        raise PartError(
            f"'{AUTO}' needs the number of an array's job, in one of {', '.join(INDEX_VARIABLES)}; "
            "write K/N instead"
        )
    numbers = {name: _number(name, environment[name]) for name in present}
    if len(set(numbers.values())) > 1:
        both = " and ".join(f"{name}={number}" for name, number in numbers.items())
        raise PartError(f"'{AUTO}' has two numbers to go by, {both}; write K/N instead")
    name, number = next(iter(numbers.items()))
    if of is not None:
        return _checked(number, of)
    size = present[name]
    count = _number(size, environment[size]) if size and environment.get(size) else None
    if count is None:
        return Part(number)
    first = _number("SLURM_ARRAY_TASK_MIN", environment.get("SLURM_ARRAY_TASK_MIN", "0"))
    last = _number("SLURM_ARRAY_TASK_MAX", environment.get("SLURM_ARRAY_TASK_MAX", str(first + count - 1)))
    whole = first in (0, 1) and last - first + 1 == count and first <= number <= last
    return Part(number - first, count) if whole else Part(number)


def _number(name: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise PartError(f"{name}={text} is no number of a job")
    return int(text)


def array_of(numbers: Iterable[int]) -> str:
    """Numbers as ``sbatch --array`` takes them, such as "3,7-9"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def parts_with(shards: Sequence[int], of: int | None) -> list[int]:
    """Numbers of the jobs that do these shards, in an array of ``of`` parts or of one job a shard."""
    return sorted({shard if of is None else shard % of for shard in shards})
