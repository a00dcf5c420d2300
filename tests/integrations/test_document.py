"""The snippets of docs/integrations.md run with the real packages, each in a process, and print what the page says."""

import ast
import importlib.util
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support import ROOT, run_snippet

PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r"^```py\n(.*?)^```$(?:\s+^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
CASES = [
    pytest.param(code, printed, id=f"{title}-{number}")
    for title, text in SECTION.findall(PAGE)
    for number, (code, printed) in enumerate(SNIPPET.findall(text), 1)
]


def modules(code: str) -> set[str]:
    """Return the packages that a snippet needs: those that it imports, also by a module of oxidbm.integrations."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            found.add(name.removeprefix("oxidbm.integrations.").partition(".")[0])
    return found


@pytest.mark.compiled_only("what the page shows is what readers have: the compiled core")
@pytest.mark.parametrize(("code", "printed"), CASES)
def test_a_snippet_runs_and_prints_what_is_said(code: str, printed: str, tmp_path: Path) -> None:
    missing = sorted(name for name in modules(code) if importlib.util.find_spec(name) is None)
    if missing:
        pytest.skip(f"{' and '.join(missing)}: not installed: pip install oxidbm[integrations]")
    if "dogpile" in modules(code) and not entry_points(group="dogpile.cache", name="oxidbm"):
        pytest.skip("oxidbm was installed before it was known to dogpile.cache: install it again")
    done = run_snippet(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_snippets_name_what_they_need() -> None:
    assert len(CASES) >= 4
    assert modules("from oxidbm.integrations.cachelib import A\nimport zict.lru, oxidbm") == {
        "cachelib",
        "zict",
        "oxidbm",
    }


def test_the_table_and_the_sections_are_of_the_same_packages() -> None:
    listed = re.findall(r"^\| \[([^]]+)\]\(#([^)]+)\)", PAGE, re.MULTILINE)
    titles = [title for title, _ in SECTION.findall(PAGE)]
    assert [name for name, _ in listed] == titles
    assert [anchor for _, anchor in listed] == [title.lower().replace(".", "").replace(" ", "-") for title in titles]
    there = sorted(path.stem for path in (ROOT / "oxidbm" / "integrations").glob("[!_]*.py"))
    assert [name for name in there if f"oxidbm.integrations.{name}" not in PAGE] == []
