"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A shared machine is at times slow; the suite has its own time limit.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
