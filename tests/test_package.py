"""The distribution: its name, metadata and dependencies, and another project's package of the same import."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import spinenet
import spinenet_cohort
from spinenet.training.recipe import packaged_recipe

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPEN = ROOT / "spinenet" / "data" / "open"
OWN = {"spinenet", "flows", "spinenet_cohort"}
NOT_IMPORTED = {
    "fastapi": "Prefect's; bounded because Prefect breaks with newer ones",
    "cryptography": "distributed makes its temporary certificates with it",
    "s3fs": "fsspec's filesystem of s3://",
    "gcsfs": "fsspec's filesystem of gs://",
    "adlfs": "fsspec's filesystem of az://",
    "tensorboard": "torch.utils.tensorboard writes event files with it",
}
"""Declared dependencies that no module names, and what for; names that are not declared do no harm here."""


NOT_AT_RUN_TIME = {"dev", "docs", "tutorials"}
"""Extras of which the package imports nothing."""


def normal(requirement: str) -> str:
    """The name of a requirement as registries spell it."""
    return (
        re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")
    )


def declared(extras: Iterable[str] = ()) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    return {normal(r) for r in [*PROJECT["dependencies"], *(r for extra in extras for r in optional[extra])]}


def imported() -> dict[str, str]:
    """Top-level module to one of our files that imports it, without the standard library."""
    found: dict[str, str] = {}
    for file in [*ROOT.glob("spinenet/**/*.py"), *ROOT.glob("flows/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[0]: str(file.relative_to(ROOT)) for name in names}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | OWN}


def test_what_is_imported_is_declared() -> None:
    owners = metadata.packages_distributions()
    runtime = set(PROJECT["optional-dependencies"]) - NOT_AT_RUN_TIME
    known = declared(runtime)
    undeclared = {
        f"{name} in {file}" for name, file in imported().items() if not known & set(map(normal, owners[name]))
    }
    assert not undeclared


def test_what_is_declared_is_used() -> None:
    owners = metadata.packages_distributions()
    used = {normal(owner) for name in imported() for owner in owners[name]}
    runtime = set(PROJECT["optional-dependencies"]) - NOT_AT_RUN_TIME
    assert not declared(runtime) - used - set(NOT_IMPORTED)


def test_every_dependency_is_bounded_on_both_sides() -> None:
    for requirement in PROJECT["dependencies"]:
        assert re.search(r">=\d", requirement), requirement
        assert re.search(r",<\d", requirement), requirement


def test_metadata() -> None:
    assert PROJECT["name"] == spinenet_cohort.NAME != "spinenet"
    assert PROJECT["license"].startswith("LicenseRef-")
    assert all((ROOT / file).is_file() for file in PROJECT["license-files"])
    assert PROJECT["authors"] == [{"name": "spinenet contributors"}]
    assert all(url.startswith("https://arxiv.org/") for url in PROJECT["urls"].values())
    assert all((ROOT / package / "py.typed").is_file() for package in ("spinenet", "flows"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", spinenet.__version__)


def test_the_notice_names_every_source_and_all_who_were_kept_back() -> None:
    told = (OPEN / "NOTICE.md").read_text(encoding="utf-8")
    stated = json.loads((OPEN / "bundle.json").read_text(encoding="utf-8"))["training_data"]
    card = (OPEN / "card.md").read_text(encoding="utf-8")
    sources = set(re.findall(r"(?:Mendeley Data|Zenodo) (\w+)", stated + card))
    assert len(sources) >= 3
    assert all(source in told for source in sources)
    assert all(name in told for name in re.findall(r"(\w+)\s+et\s+al", stated + card))
    assert "CC BY 4.0" in told
    for network in ("detector", "grading"):
        for entry in packaged_recipe(f"open_{network}").sources:
            sides = entry.options.get("split", {}).get("subjects", {})
            for subject in [*sides.get("develop", ()), *sides.get("test", ())]:
                assert re.search(rf"\b{subject.removeprefix('spider-')}\b", told), subject


def test_the_notice_is_in_the_wheel_beside_the_weights_and_the_licence(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77")
    for name in ("pyproject.toml", "README.md", "LICENCE.md", "spinenet_cohort.py", "flows/__init__.py"):
        copied(name, tmp_path)
    for name in ("spinenet/__init__.py", "spinenet/data/open/NOTICE.md", "spinenet/data/open/bundle.json"):
        copied(name, tmp_path)
    build = "import setuptools.build_meta as b; print(b.build_wheel('made'))"
    (tmp_path / "made").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "made").glob("*.whl")
    files = zipfile.ZipFile(made).namelist()
    assert {"spinenet/data/open/NOTICE.md", "spinenet/data/open/bundle.json"} <= set(files)
    assert any(re.fullmatch(r"[^/]+\.dist-info/licenses/.*NOTICE\.md", file) for file in files)


def copied(name: str, folder: Path) -> None:
    """Put a file of the project at the same place below a folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / name, folder / name)


@pytest.mark.parametrize("name", ["lock.txt", "lowest.txt"])
def test_locks_hold_every_dependency_and_no_place(name: str) -> None:
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines[1:])
    pinned = dict(line.split("==") for line in lines[1:])
    extras = ["nifti"] if name == "lowest.txt" else ["nifti", "dev", "docs", "tutorials", "s3", "azure"]
    assert declared(extras) <= set(pinned), "run .ci/lock"
    # with and without CUDA, the same
    assert pinned["torch"] == "2.13.0"


def test_lowest_versions_are_the_lower_bounds() -> None:
    text = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8")
    for requirement in PROJECT["dependencies"]:
        name, bound = normal(requirement), re.search(r">=([\d.]+)", requirement)
        found = re.search(rf"^{name}==([\d.]+)$", text, re.MULTILINE)
        assert bound, requirement
        assert found, f"{requirement}: run .ci/lock"
        if name != "torch":
            width = len(bound[1].split("."))
            assert found[1].split(".")[:width] == bound[1].split("."), requirement


def wheel(folder: Path, name: str, version: str, files: dict[str, str], command: str = "") -> Path:
    """A wheel of a few texts, as pip installs it."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if command:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\nspinenet = {command}\n"
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    files = [
        f
        for package in ("flows", "spinenet")
        for kind in ("py", "toml")
        for f in ROOT.glob(f"{package}/**/*.{kind}")
    ]
    names = ["spinenet_cohort.py", *(str(file.relative_to(ROOT)) for file in files)]
    ours = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    theirs = {"spinenet/__init__.py": "raise RuntimeError('another project')\n", "spinenet/net.py": ""}
    return {
        "ours": wheel(folder, "spinenet-cohort", "0.1.0", ours, "flows.cli:main"),
        "ours as it was named once": wheel(folder, "spinenet", "0.0.9", ours, "flows.cli:main"),
        "theirs": wheel(folder, "spinenet", "2.1.4", theirs),
    }


def installed(wheels: dict[str, Path], place: Path, *names: str) -> dict[str, str]:
    """The environment of a Python that finds these, installed one after the other, before all else."""
    for name in names:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--prefix"]
        # "ignore-installed": what the tests themselves run on stays
        subprocess.run([*command, str(place), "--ignore-installed", str(wheels[name])], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    return {**os.environ, "PYTHONPATH": str(packages), "PYTHONSAFEPATH": "1"}


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


class TestAnotherProjectsPackage:
    @pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")])
    def test_both_installed(self, wheels: dict[str, Path], tmp_path: Path, order: tuple[str, str]) -> None:
        environment = installed(wheels, tmp_path, *order)
        told = python(environment, "-m", "flows.cli", "--version")
        assert told.returncode == 1
        assert len(told.stderr.splitlines()) == 1
        assert "pip uninstall spinenet spinenet-cohort" in told.stderr
        if order[-1] == "ours":
            library = python(environment, "-c", "import spinenet")
            assert library.returncode == 1
            assert "another project's spinenet 2.1.4 are both installed" in library.stderr

    @pytest.mark.parametrize("names", [("ours",), ("ours as it was named once", "ours")])
    def test_ours_alone_is_silent(
        self, wheels: dict[str, Path], tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        told = python(installed(wheels, tmp_path, *names), "-m", "flows.cli", "--version")
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith("spinenet 0.")

    def test_theirs_removed_after_it_had_overwritten_ours(
        self, wheels: dict[str, Path], tmp_path: Path
    ) -> None:
        environment = installed(wheels, tmp_path, "ours", "theirs")
        for file in Path(environment["PYTHONPATH"]).glob("spinenet-2.1.4.dist-info/*"):
            file.unlink()
        Path(environment["PYTHONPATH"], "spinenet-2.1.4.dist-info").rmdir()
        told = python(environment, "-m", "flows.cli", "--help")
        assert told.returncode == 1
        assert "another distribution has replaced files of spinenet-cohort" in told.stderr
