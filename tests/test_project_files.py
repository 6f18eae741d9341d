"""Citation, changelog, hooks, and links and names in Markdown that lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import spinenet

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MARKDOWN = sorted(
    str(file.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "tutorials/**/*.md", "tests/**/*.md")
    for file in ROOT.glob(pattern)
)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """Markdown without its fenced blocks and code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """Names that headings can be reached by."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_citation_names_the_version_and_both_articles() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == spinenet.__version__
    assert citation["authors"] == PROJECT["project"]["authors"]
    assert all(isinstance(citation[key], str) for key in ("message", "title", "abstract", "version"))
    cited = {reference["url"] for reference in citation["references"]}
    assert cited == set(PROJECT["project"]["urls"].values())
    for reference in citation["references"]:
        assert reference["authors"]
        assert reference["url"].endswith(reference["identifiers"][0]["value"].removeprefix("arXiv:"))


def test_changelog_begins_with_the_version_and_keeps_its_form() -> None:
    sections = re.findall(
        r"^## \[([\w.]+)\] - (\d{4}-\d\d-\d\d|not yet released)$", read("CHANGELOG.md"), re.M
    )
    assert sections[0][0] == spinenet.__version__
    assert read("CHANGELOG.md").count("\n## ") == len(sections)
    kinds = re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


HOOKS = {
    hook["id"]: hook
    for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    for hook in repo["hooks"]
}


def test_hooks_fetch_nothing() -> None:
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}
    assert "D" in PROJECT["tool"]["ruff"]["lint"]["select"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name == "mypy" else ()) for name in sorted(HOOKS)],
)
def test_hooks_pass_on_the_tree(name: str) -> None:
    hook = HOOKS[name]
    command = hook["entry"].split() + (["."] if hook.get("pass_filenames", True) else [])
    # as --check, so that a test changes nothing
    command += ["--check"] if command[:2] == ["ruff", "format"] else []
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_lead_somewhere(name: str) -> None:
    text = read(name)
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        target, _, anchor = unquote(link).partition("#")
        file = (ROOT / name).parent / target if target else ROOT / name
        assert file.exists(), f"{name} links to {link}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name} links to {link}"


def test_contributing_tells_of_every_marker() -> None:
    table = read("CONTRIBUTING.md")
    for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"`{marker.split(':')[0]}`" in table, marker


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_are_named_are_there(name: str) -> None:
    named = re.findall(r"`([\w.]+(?:/[\w.]+)+)/?`|`([A-Z]+\.(?:md|cff))`", read(name))
    missing = [path for pair in named for path in pair if path and not (ROOT / path).exists()]
    assert not missing


def test_things_that_contributing_follows_are_there() -> None:
    followed = re.findall(r"git grep -i?[ln]+ ([\w]+)(?: ([\w/]+))?`", read("CONTRIBUTING.md"))
    assert len(followed) == 4
    for word, where in followed:
        folders = [where] if where else ["spinenet", "flows"]
        files = [file for folder in folders for file in (ROOT / folder).glob("**/*.py")]
        found = [file for file in files if word in file.read_text(encoding="utf-8").lower()]
        assert len(found) >= 2, word
