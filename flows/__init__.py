"""Prefect flows over spinenet, and the command line."""

import os

# Read by Prefect when it is first imported: nothing is reported to its makers.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Arrow's own allocator keeps tens of MB of what a long manifest takes for a moment; the system's does not.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
# Dask sets up its loggers when it is imported; the comings and goings of local workers are no news.
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
# The last messages to each worker would be kept, with all that their tasks are given.
os.environ.setdefault("DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH", "10")
# Threads of torch that wait for each other by spinning stand in each other's way where cores are shared, as
# with workers that decode: inference then takes three times as long. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
