"""Imports only go down: the library knows no orchestration, stages know no storage."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "spinenet": 0,  # the package itself: its version, and names that are looked up when asked for
    "spinenet.errors": 1,
    "spinenet.anatomy": 1,
    "spinenet.added_findings": 1,
    "spinenet.printable": 1,
    "spinenet.redaction": 1,
    "spinenet.settings": 1,
    "spinenet.types": 1,
    "spinenet.geometry": 1,
    "spinenet.gpus": 1,
    "spinenet.memory": 1,
    "spinenet.timelimit": 1,
    "spinenet.storage": 2,
    "spinenet.networks": 2,
    "spinenet.weights": 3,
    "spinenet.stages": 3,
    "spinenet.readers": 3,
    "spinenet.synthetic": 3,
    "spinenet.inference": 4,
    "spinenet.evaluation": 4,
    "spinenet.cohort": 5,
    "spinenet.index": 5,
    "spinenet.training": 5,
    "spinenet.published": 5,
    "spinenet.preflight": 6,
    "spinenet.io": 6,
    "flows": 7,
}
NO_ORCHESTRATION = {"flows", "prefect", "dask", "distributed"}
NO_STORAGE = {"os", "io", "pathlib", "fsspec", "pydicom", "pyarrow", "pandas"}


def modules() -> list[str]:
    files = [*ROOT.glob("spinenet/**/*.py"), *ROOT.glob("flows/**/*.py")]
    return sorted(
        ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files
    )


def imported(module: str) -> Iterator[str]:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in inner)


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS[".".join(parts[:2])] if parts[0] == "spinenet" and len(parts) > 1 else FLOORS[parts[0]]


MODULES = set(modules())


@pytest.mark.parametrize("module", sorted(MODULES - {"spinenet"}))
def test_imports_go_down(module: str) -> None:
    own = [name for name in imported(module) if name.split(".")[0] in ("spinenet", "flows")]
    upward = [name for name in own if floor(name) > floor(module)]
    assert not upward, f"{module} imports {upward} from above"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("spinenet")))
def test_the_library_knows_no_orchestration(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(module)} & NO_ORCHESTRATION


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("spinenet.stages")))
def test_stages_touch_no_storage(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(module)} & NO_STORAGE


def test_no_circles() -> None:
    left = {
        m: {name for name in imported(m) if name in MODULES and name != "spinenet"} - {m} for m in MODULES
    }
    while left:
        free = {module for module, needs in left.items() if not needs & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {module: needs for module, needs in left.items() if module not in free}
