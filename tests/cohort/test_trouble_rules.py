"""When rows are the surroundings' fault, when a worker is retired, and when a run stops."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from spinenet.cohort.trouble import RETIRE_AFTER, STOP_AFTER, Trouble, away
from spinenet.inference.device_errors import is_device_error
from spinenet.readers.sources.presence import Look

PATHS = pa.chunked_array([[f"/mnt/a/s{i}" for i in range(20)], [f"/mnt/b/x/s{i}" for i in range(3)]])


@pytest.mark.parametrize(
    ("found", "reason", "path", "lost"),
    [
        (Look(False, "/mnt/a/s3", 4), "path_missing", "/mnt/a/s3", 0),
        (Look(False, "/mnt/a/s3", 0), "path_missing", "/mnt/a/s3", 0),
        (Look(False, "/mnt/a", 0), "path_missing", "/mnt/a/s3", 20),
        (Look(False, "/mnt", 0), "path_missing", "/mnt/a/s3", 23),
        (Look(False, "/mnt/b/x", 4), "path_missing", "/mnt/b/x/s1", 3),
        (Look(True, None, 4), "path_missing", "/mnt/a/s3", 0),
        (Look(False, None, 0), "path_missing", "s3://bucket/s3", 0),
        (Look(False, None, 2), "permission_denied", "/mnt/a/s3", 0),
        (Look(False, None, 0), "permission_denied", "/mnt/a/s3", 23),
        (Look(False, None, 0), "storage_failed", "/mnt/a/s3", 23),
        (Look(False, None, 1), "no_files", "/mnt/a/s3", 0),
        (Look(False, None, 0), "no_files", "/mnt/a/s3", 23),
    ],
)
def test_rows_that_are_lost_together(found: Look, reason: str, path: str, lost: int) -> None:
    assert away(found, reason, path, PATHS) == lost


def test_many_failures_lately_are_the_surroundings_and_few_among_good_scans_are_not() -> None:
    trouble = Trouble()
    assert [trouble.failed("time_limit", own=False) for _ in range(STOP_AFTER)][-1] == STOP_AFTER
    trouble = Trouble()
    counts = []
    for i in range(1000):
        if i % 3:
            trouble.went_well(f"s{i}", {"decode": "w CPU"})
        else:
            counts.append(trouble.failed("out_of_memory", own=False))
    assert max(counts) < STOP_AFTER
    trouble = Trouble()
    assert {trouble.failed("path_missing", own=True) for _ in range(1000)} == {0}


def test_a_worker_is_retired_once_after_failures_without_a_success() -> None:
    trouble = Trouble()
    told = [trouble.healed_elsewhere("bad CPU", "good CPU") for _ in range(RETIRE_AFTER + 2)]
    assert told == [False] * (RETIRE_AFTER - 1) + [True, False, False]
    for _ in range(10 * RETIRE_AFTER):
        assert not trouble.healed_elsewhere("fair CPU", "good CPU")
        trouble.went_well("a", {"decode": "fair CPU"})
    assert not any(trouble.healed_elsewhere("lone CPU", "lone CPU") for _ in range(10))


@pytest.mark.parametrize(
    ("error", "of_the_device"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered\nmore"), True),
        (RuntimeError("CUDA driver error: unknown error"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), True),
        (RuntimeError("HIP error: invalid device function"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: no runtime error"), False),
    ],
)
def test_a_gpu_that_failed_is_told_from_one_that_is_full(error: Exception, of_the_device: bool) -> None:
    assert is_device_error(error) == of_the_device
