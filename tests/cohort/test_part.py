"""Parts of a run's shards: as they are written, and as the job of an array finds its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinenet.cohort.part import Part, array_of, parts_with, read_part
from spinenet.errors import PartError


def slurm(number: int, count: int, first: int, last: int) -> dict[str, str]:
    """What SLURM sets in a job of an array."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX")
    return dict(zip(names, map(str, (number, count, first, last)), strict=True))


@pytest.mark.parametrize(
    ("text", "of", "part"),
    [
        ("2/8", None, Part(2, 8)),
        ("0/1", None, Part(0, 1)),
        ("7", None, Part(7)),
        ("7", 8, Part(7, 8)),
        ("2/8", 8, Part(2, 8)),
    ],
)
def test_what_is_written(text: str, of: int | None, part: Part) -> None:
    assert read_part(text, {}, of) == part
    assert str(part).startswith(text)


@pytest.mark.parametrize(
    ("environment", "of", "part"),
    [
        (slurm(2, 8, 0, 7), None, Part(2, 8)),
        # an array that is counted from 1
        (slurm(8, 8, 1, 8), None, Part(7, 8)),
        # shards that are done again: the numbers are theirs
        (slurm(7, 2, 3, 7), None, Part(7)),
        (slurm(5, 1, 5, 5), None, Part(5)),
        (slurm(6, 4, 0, 6), None, Part(6)),
        (slurm(7, 2, 3, 7), 8, Part(7, 8)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, None, Part(3, 4)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "5"}, None, Part(3, 5)),
        ({"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "2"}, None, Part(0, 2)),
        ({"JOB_COMPLETION_INDEX": "4"}, None, Part(4)),
        ({"JOB_COMPLETION_INDEX": "4"}, 6, Part(4, 6)),
        ({"JOB_COMPLETION_INDEX": "4", "SLURM_ARRAY_TASK_ID": ""}, None, Part(4)),
    ],
)
def test_what_a_job_finds(environment: dict[str, str], of: int | None, part: Part) -> None:
    assert read_part("auto", environment, of) == part


@pytest.mark.parametrize(
    ("text", "environment", "of", "sentence"),
    [
        ("8/8", {}, None, "there is no part 8 of 8: parts are counted from 0 to 7"),
        ("1/0", {}, None, "there is no part 1 of 0"),
        ("-1/8", {}, None, "'-1/8' is no part of a run; write K/N, the number of a shard, or auto"),
        ("first", {}, None, "'first' is no part of a run"),
        ("2/8", {}, 9, "'2/8' and --of 9 contradict each other"),
        ("auto", {}, None, "needs the number of an array's job, in one of SLURM_ARRAY_TASK_ID, "),
        ("auto", {"SLURM_ARRAY_TASK_ID": "x"}, None, "SLURM_ARRAY_TASK_ID=x is no number of a job"),
        ("auto", {"JOB_COMPLETION_INDEX": "4"}, 3, "there is no part 4 of 3"),
        (
            "auto",
            {"JOB_COMPLETION_INDEX": "4", "SLURM_ARRAY_TASK_ID": "5"},
            None,
            "two numbers to go by, SLURM_ARRAY_TASK_ID=5 and JOB_COMPLETION_INDEX=4",
        ),
    ],
)
def test_what_is_no_part(text: str, environment: dict[str, str], of: int | None, sentence: str) -> None:
    with pytest.raises(PartError, match=re.escape(sentence)):
        read_part(text, environment, of)


def test_a_shard_that_there_is_not() -> None:
    with pytest.raises(PartError, match=r"there is no shard 12: the run has 12, counted from 0"):
        Part(12).shards(12)


@given(n_shards=st.integers(0, 200), of=st.integers(1, 40))
def test_parts_have_each_shard_once(n_shards: int, of: int) -> None:
    parts = [shard for number in range(of) for shard in Part(number, of).shards(n_shards)]
    assert sorted(parts) == list(range(n_shards))


@given(holes=st.sets(st.integers(0, 30), min_size=1), first=st.sampled_from([0, 1]))
def test_an_array_of_the_named_numbers_does_all_that_is_missing(holes: set[int], first: int) -> None:
    written = array_of(parts_with(sorted(holes), None))
    numbers = [
        number
        for run in written.split(",")
        for number in range(int(run.split("-")[0]), int(run.split("-")[-1]) + 1)
    ]
    assert set(numbers) == holes
    jobs = [slurm(number, len(numbers), min(numbers), max(numbers)) for number in numbers]
    done = {shard for job in jobs for shard in read_part("auto", job).shards(31)}
    assert holes <= done


def test_numbers_as_sbatch_takes_them() -> None:
    assert array_of([9, 3, 7, 8, 3]) == "3,7-9"
    assert parts_with([3, 11, 12], 8) == [3, 4]
