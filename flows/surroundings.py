"""What a machine must offer before processes of its own can work here."""

from __future__ import annotations

import multiprocessing
import tempfile

from spinenet.errors import RunError


def check_surroundings() -> None:
    """Raise unless local workers can be started and have a place for their files.

    Raises
    ------
    RunError
        Names what is missing, where Dask would only say that a worker did not start.
    """
    try:
        multiprocessing.get_context("spawn").Lock()
    except (OSError, ImportError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RunError(
            f"local workers need semaphores, which cannot be made in /dev/shm ({why}); make it writable, "
            "with some room (docker run --shm-size 64m), or name a scheduler: --cluster tcp://HOST:PORT"
        ) from error
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise RunError(
            "no folder for temporary files can be written to; set TMPDIR to one with some room"
        ) from error
