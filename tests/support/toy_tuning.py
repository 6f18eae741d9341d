"""A fine-tuning as a process that can be killed: ``python -m support.toy_tuning SECONDS`` reads the request.

With a wait at each step, so that it can be met half way.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from spinenet.training.tuning.finetune import finetune
from spinenet.training.tuning.request import FinetuneRequest

if __name__ == "__main__":
    _wait = float(sys.argv[1])
    with ThreadPoolExecutor(1) as _pool:
        finetune(
            FinetuneRequest.model_validate_json(sys.stdin.read()),
            _pool,
            lambda name, step: time.sleep(_wait),
        )
