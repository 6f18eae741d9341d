"""Checks what local workers need of the machine: semaphores, temporary files, addresses, open files."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile

from spinenet.errors import RunError

FILES = 40
"""Open files that a run's own process needs, besides those for its local workers."""
FILES_FOR_A_WORKER = 12
"""Open files (pipes, connections) that a run's own process needs for each local worker."""
ADDRESSES = 2_000_000_000
"""Least bytes of address space of a local worker, most of them for libraries."""

_MEMORY_WORDS = ("failed to map segment", "allocate memory", "out of memory", "can't start new thread")


def check_surroundings(workers: int) -> None:
    """Raise unless ``workers`` local workers can be started.

    Raises
    ------
    RunError
        Something is missing, which Dask would report only as a worker that did not start.
    """
    try:
        multiprocessing.get_context("spawn").Lock()
    except (OSError, ImportError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise RunError(
            f"local workers need semaphores, which cannot be made in /dev/shm ({cause}); make it writable, "
            "with some room (docker run --shm-size 64m), or name a scheduler: --cluster tcp://HOST:PORT"
        ) from error
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise RunError(
            "no folder for temporary files can be written to; set TMPDIR to one with some room"
        ) from error
    allowed = _allowed(resource.RLIMIT_AS)
    if allowed is not None and allowed < ADDRESSES:
        raise RunError(
            f"local workers need {ADDRESSES // 10**6} MB of addresses each, and a process may have "
            f"{allowed // 10**6} MB here; allow more: ulimit -v unlimited"
        )
    _make_room_for_files(FILES + FILES_FOR_A_WORKER * workers)


def lack_of_memory(error: BaseException) -> str | None:
    """A sentence for an error caused by a limit on this process's address space; None for any other."""
    allowed = _allowed(resource.RLIMIT_AS)
    if allowed is None:
        return None
    text = str(error).lower()
    if not isinstance(error, MemoryError) and not any(word in text for word in _MEMORY_WORDS):
        return None
    return (
        f"this process may have {allowed // 10**6} MB of addresses, which are not enough "
        f"({type(error).__name__}); allow more: ulimit -v unlimited"
    )


def _make_room_for_files(needed: int) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        raise RunError(
            f"local workers of this machine need {needed} open files, and a process may have {most} here; "
            f"allow more: ulimit -n {needed}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def _allowed(kind: int) -> int | None:
    allowed, _ = resource.getrlimit(kind)
    return None if allowed == resource.RLIM_INFINITY else allowed
