"""The GPUs of this machine, asked without torch where there can be none."""

from __future__ import annotations

from pathlib import Path

_DRIVERS = ("/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/kfd", "/dev/dxg")
"""Devices of the drivers of NVIDIA (Tegra too), of AMD, and of Windows' subsystem for Linux."""


def gpu_names() -> list[str]:
    """Names of the GPUs that torch can use, in its order."""
    if not any(Path(driver).exists() for driver in _DRIVERS):
        # importing torch takes seconds
        return []
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
