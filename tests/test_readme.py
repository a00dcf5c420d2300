"""Every Python snippet of README.md, CONTRIBUTING.md and docs/ runs, in a directory of its own, and prints its text.

A ```python block followed by a ```text block has to print that text. Blocks of one document share nothing.
"""

import ast
import codeop
import re
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.support import ROOT, run_snippet

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def snippets(text: str) -> list[tuple[str, str | None]]:
    """Return each Python block with the text block that follows it at once, None where there is none."""
    blocks = list(FENCE.finditer(text))
    found = []
    for block, following in zip_longest(blocks, blocks[1:]):
        if block[1] != "python":
            continue
        expected = None
        if following is not None and following[1] == "text" and not text[block.end() : following.start()].strip():
            expected = following[2]
        found.append((block[2], expected))
    return found


CASES = [
    pytest.param(code, expected, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, (code, expected) in enumerate(snippets(path.read_text(encoding="utf-8")), 1)
]


@pytest.mark.compiled_only("what the documents show is what readers have: the compiled core")
@pytest.mark.parametrize(("code", "expected"), CASES)
def test_a_snippet_runs_and_prints_what_is_said(code: str, expected: str | None, tmp_path: Path) -> None:
    result = run_snippet(code, tmp_path, "-W", "error")
    assert result.returncode == 0, result.stderr
    assert expected is None or result.stdout == expected


def prompt_fault(code: str) -> str | None:
    """Return the line at which the interactive prompt, given a snippet line by line, finds an error; None for none.

    At the prompt an empty line ends a block, and a block that stands for itself ends with one.
    """
    compiler = codeop.CommandCompiler()
    pending: list[str] = []
    for line in [*code.splitlines(), ""]:
        pending.append(line)
        try:
            if compiler("\n".join(pending), "<prompt>", "single") is not None:
                pending = []
        except SyntaxError as failure:
            return f"{failure.msg}: {line}"
    return None


@pytest.mark.parametrize(("code", "_"), CASES)
def test_a_snippet_can_be_pasted_into_the_interactive_prompt(code: str, _: str | None) -> None:
    classes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef)]
    if any(isinstance(item, ast.FunctionDef) for node in classes for item in node.body[1:]):
        pytest.skip("a class of several parts has empty lines between them, as the formatter wants it")
    assert prompt_fault(code) is None


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("with a:\n    b\n\n    c\n", "unexpected indent:     c"),
        ("for a in b:\n    c\nd\n", "invalid syntax: d"),
        ("for a in b:\n    c\n\nd\n", None),
        ("text = (\n\n1)\n", None),
    ],
)
def test_what_the_interactive_prompt_does_not_take(code: str, fault: str | None) -> None:
    assert prompt_fault(code) == fault


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert missing == []


def test_the_first_snippet_is_short() -> None:
    code, _ = snippets((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_snippets_are_found_with_their_output() -> None:
    text = "```python\na\n```\n\n```text\nb\n```\n\n```python\nc\n```\n\nwords\n\n```text\nd\n```\n"
    assert snippets(text) == [("a\n", "b\n"), ("c\n", None)]
