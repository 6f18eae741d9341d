"""A table of inputs that once went wrong: what became of each before, what is right, what becomes of it now.

``PYTHONPATH=.:tests python tests/cases/case_table.py`` writes it out. Each ``test_*.py`` beside it holds
``CASES``.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from support.cases import Case

HERE = Path(__file__).parent


def every_case() -> Iterator[Case]:
    """The cases of all modules beside this one."""
    sys.path.insert(0, str(HERE))
    for module in sorted(HERE.glob("test_*.py")):
        yield from importlib.import_module(module.stem).CASES


def main() -> int:
    """Print the table; the number of cases that are wrong."""
    warnings.simplefilter("ignore")
    wrong = 0
    print("| case | before | right | now | |\n|---|---|---|---|---|")  # noqa: T201
    for case in every_case():
        if not case.possible():
            print(f"| {case.name} | {case.before} | {case.right} | | not tried |", flush=True)  # noqa: T201
            continue
        with tempfile.TemporaryDirectory() as folder:
            now = case.outcome(Path(folder))
        wrong += now != case.right
        verdict = "ok" if now == case.right else "WRONG"
        print(f"| {case.name} | {case.before} | {case.right} | {now} | {verdict} |", flush=True)  # noqa: T201
    return wrong


if __name__ == "__main__":
    sys.exit(main())
