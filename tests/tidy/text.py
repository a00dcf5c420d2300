"""How the text looks: lengths, docstrings, strings in pieces, and what is in no file at all."""

import ast
import io
import itertools
import re
import token
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

from tests.tidy.sources import Example, Sources, functions, parsed, trees

LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 120

FORBIDDEN = {
    "a note to do later": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
    "an emoji": re.compile("[\u2600-\u27bf\u2b50\u2b55\ufe0f\U0001f000-\U0001faff]"),
    "a path of one machine": re.compile(r"(?<![\w.~$}-])/(?:home/\w|root\b|work/|Users/\w)|\b[A-Z]:\\Users"),
}
FORBIDDING = "tests/tidy/text.py"  # says what is forbidden

FSTRING_START: int | None = getattr(token, "FSTRING_START", None)  # since Python 3.12 an f-string is many tokens
FSTRING_END: int | None = getattr(token, "FSTRING_END", None)


def check_lengths(sources: Sources) -> list[str]:
    """Files and functions stay short."""
    faults = []
    for path, tree in trees(sources).items():
        lines = len(sources[path].splitlines())
        if lines > LINES_MAX:
            faults.append(f"{path}: {lines} lines, {LINES_MAX} are the most")
        for function in functions(tree):
            assert function.end_lineno is not None
            length = function.end_lineno - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                where = f"{path}:{function.lineno}: {function.name}"
                faults.append(f"{where} has {length} lines, {FUNCTION_LINES_MAX} are the most")
    return faults


def check_module_docstrings(sources: Sources) -> list[str]:
    """Every module opens with its contract; an __init__.py that only marks a package may be empty."""
    return [
        f"{path}: no module docstring"
        for path, tree in trees(sources).items()
        if ast.get_docstring(tree) is None and (tree.body or not path.endswith("/__init__.py"))
    ]


def check_public_docstrings(sources: Sources) -> list[str]:
    """Every public function and class at the top level of a module of oxidbm says what it is for."""
    faults = []
    for path, tree in trees(sources, "oxidbm/").items():
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            if ast.get_docstring(node) is None and not overload:
                faults.append(f"{path}:{node.lineno}: {node.name} has no docstring")
    return faults


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the docstring of each module, class and function in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
                    yield docstring


def docstring_fault(lines: list[str]) -> str | None:
    """Say what is wrong with the shape of a docstring, given its lines in the source; None when nothing is."""
    first = lines[0].strip().lstrip("rR").removeprefix('"""')
    if len(lines) == 1:
        return None if first.endswith('."""') else "does not end in a full stop"
    if not first.endswith("."):
        return "does not say in a whole sentence on its first line what it is about"
    if lines[-1].strip() != '"""':
        return "does not close on a line of its own"
    if not lines[-2].strip():
        return "is closed by the first line" if len(lines) == 2 else "ends in an empty line"
    if len(lines) == 2:
        return "is one line and closes on another"
    if lines[1].strip():
        return "has no empty line after its first"
    if lines[-3].strip() and len(lines[-2].split()) == 1:
        return f"leaves {lines[-2].strip()} alone on its last line"
    return None


def check_docstring_shape(sources: Sources) -> list[str]:
    """A docstring is one line, or a summary, an empty line, the rest, and the closing quotes on a line of their own.

    The first line is a whole sentence and ends in a full stop. What does not fit one line is split into a summary and
    more, since help() and editors show the first line alone. The last line of text has more than one word.
    """
    faults = []
    for path in sources:
        if not path.endswith((".py", ".pyi")):
            continue
        lines = sources[path].splitlines()
        for docstring in docstrings(parsed(sources[path])):
            fault = docstring_fault(lines[docstring.lineno - 1 : docstring.end_lineno])
            if fault is not None:
                faults.append(f"{path}:{docstring.lineno}: the docstring {fault}")
    return faults


class Piece(NamedTuple):
    """One literal of a string in pieces: where it begins and ends, and whether another follows at once."""

    start: tuple[int, int]
    end: tuple[int, int]
    is_followed: bool


def pieces(text: str) -> Iterator[Piece]:
    """Yield the string literals of a source in order, those inside of an f-string left out."""
    piece: tuple[tuple[int, int], tuple[int, int]] | None = None
    begin = (0, 0)
    depth = 0
    for found in tokenize.generate_tokens(io.StringIO(text).readline):
        if found.type == FSTRING_START:
            depth += 1
            if depth > 1:
                continue
            begin = found.start
        elif found.type == FSTRING_END:
            depth -= 1
        elif depth == 0 and found.type == token.STRING:
            begin = found.start
        if depth == 0 and found.type in (token.STRING, FSTRING_END):
            if piece is not None:
                yield Piece(*piece, is_followed=True)
            piece = (begin, found.end)
        elif found.type == FSTRING_START and piece is not None:
            yield Piece(*piece, is_followed=True)
            piece = None
        elif depth == 0 and found.type != tokenize.NL and piece is not None:
            yield Piece(*piece, is_followed=False)
            piece = None


def literal_parts(literal: str) -> tuple[str, str, str]:
    """Return prefix, quotes and body of a literal."""
    prefix = literal[: len(literal) - len(literal.lstrip("rbfuRBFU"))].lower()
    rest = literal[len(prefix) :]
    quotes = rest[:3] if rest[:3] in ('"""', "'''") else rest[:1]
    return prefix, quotes, rest[len(quotes) : -len(quotes)]


def joined_columns(before: str, first: str, second: str, after: str) -> int | None:
    """Return how long the line is when two literals on it become one; None where they cannot."""
    first_prefix, first_quotes, first_body = literal_parts(first)
    second_prefix, second_quotes, second_body = literal_parts(second)
    if first_quotes != second_quotes or len(first_quotes) == 3 or first_body.endswith("\\n"):
        return None
    if first_prefix.replace("f", "") != second_prefix.replace("f", ""):
        return None
    prefix = max(first_prefix, second_prefix, key=len)
    braces = 0
    for own, body in ((first_prefix, first_body), (second_prefix, second_body)):
        if "f" in prefix and "f" not in own:
            braces += body.count("{") + body.count("}")
    return len(before) + len(prefix) + 2 + len(first_body) + len(second_body) + braces + len(after)


def check_scraps(sources: Sources) -> list[str]:
    """A string in pieces has no piece that would fit on one line with the next, made one literal.

    A piece that ends in a newline escape is a line of the text and may be short. A comment between two keeps them
    apart, and so does a prefix or a kind of quotes that the other has not.
    """
    faults = []
    for path, text in sources.items():
        if not path.endswith(".py"):
            continue
        lines = text.splitlines()
        found = list(pieces(text))
        for piece, following in itertools.pairwise(found):
            if not piece.is_followed or piece.start[0] != piece.end[0] or following.start[0] != following.end[0]:
                continue
            line, next_line = lines[piece.start[0] - 1], lines[following.start[0] - 1]
            first = line[piece.start[1] : piece.end[1]]
            second = next_line[following.start[1] : following.end[1]]
            columns = joined_columns(line[: piece.start[1]], first, second, next_line[following.end[1] :])
            if columns is not None and columns <= COLUMNS_MAX:
                faults.append(f"{path}:{piece.start[0]}: the string {first} would fit on a line with the next")
    return faults


def check_forbidden_text(sources: Sources) -> list[str]:
    """No notes to do later, no emoji, no paths of the machine it was written on."""
    return [
        f"{path}:{number}: {what}: {line.strip()}"
        for path, text in sources.items()
        if path != FORBIDDING
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


INDEX = "oxidbm/_core/index/hash_index.py"
DESIGN = "docs/design.md"
LONG = "x" * 112

BAD: list[Example] = [
    (check_lengths, {INDEX: "\n" * (LINES_MAX + 1)}),
    (check_lengths, {INDEX: "class C:\n    def f():\n" + "        pass\n" * FUNCTION_LINES_MAX}),
    (check_module_docstrings, {INDEX: "x = 1"}),
    (check_module_docstrings, {"oxidbm/__init__.py": "x = 1"}),
    (check_public_docstrings, {INDEX: "def f():\n    pass"}),
    (check_public_docstrings, {INDEX: "class C:\n    pass"}),
    (check_docstring_shape, {INDEX: '"""The index"""'}),
    (check_docstring_shape, {INDEX: 'def f():\n    """Return what is in\n    it.\n    """'}),
    (check_docstring_shape, {INDEX: 'def f():\n    """Return.\n    """'}),
    (check_docstring_shape, {INDEX: 'def f():\n    """Return.\n\n    """'}),
    (check_docstring_shape, {INDEX: 'def f():\n    """\n    Return what is there.\n    """'}),
    (check_docstring_shape, {INDEX: 'class C:\n    """Return.\n    More of it.\n    """'}),
    (check_docstring_shape, {INDEX: 'class C:\n    """Return.\n\n    More of it."""'}),
    (check_docstring_shape, {INDEX: 'class C:\n    """Return.\n\n    More of it.\n\n    """'}),
    (check_docstring_shape, {INDEX: 'class C:\n    """Return.\n\n    More of what is\n    there.\n    """'}),
    (check_docstring_shape, {"oxidbm/__init__.pyi": 'def f() -> int:\n    """Return"""'}),
    (check_scraps, {INDEX: 'f(\n    "than commit "\n    "seven"\n)'}),
    (check_scraps, {INDEX: 'f(\n    "than commit "\n    f"{seven}"\n)'}),
    (check_scraps, {INDEX: 'f(\n    f"commit {six} "\n    f"{seven} "\n    "' + LONG + '"\n)'}),
    (check_scraps, {INDEX: 'f(\n    "' + LONG + '"\n    f"{six} "\n    "and seven"\n)'}),
    (check_scraps, {INDEX: 'f(\n    "{six} "\n    f"and {seven}" + "eight"\n)'}),
    (check_scraps, {INDEX: 'f(b"\\x00" b"\\x01")'}),
    (check_forbidden_text, {DESIGN: "TODO: later"}),
    (check_forbidden_text, {DESIGN: "# FIXME"}),
    (check_forbidden_text, {DESIGN: "fast \U0001f680"}),
    (check_forbidden_text, {DESIGN: "done \u2705"}),
    (check_forbidden_text, {DESIGN: "see /home/someone/notes"}),
    (check_forbidden_text, {"Makefile": "PYTHON=/root/bin/python"}),
]

GOOD: list[Example] = [
    (check_lengths, {INDEX: "def f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1)}),
    (check_module_docstrings, {"tests/__init__.py": ""}),
    (check_public_docstrings, {INDEX: "def _f():\n    pass\nclass C:\n    'Says.'\n    def g(self):\n        pass"}),
    (check_public_docstrings, {"tests/support.py": "def f():\n    pass"}),
    (check_docstring_shape, {INDEX: '"""The index."""\nclass C:\n    def f():\n        r"""Return \\n."""'}),
    (check_docstring_shape, {INDEX: '"""The index.\n\nMore of it:\n1. one\n2. two words\n"""'}),
    (check_docstring_shape, {INDEX: 'def f():\n    """Return.\n\n    More of it:\n\n    store.get\n    """'}),
    (check_docstring_shape, {DESIGN: '"""Return"""'}),
    (check_scraps, {INDEX: 'f("first line\\n" "second line\\n")'}),
    (check_scraps, {INDEX: 'f(\n    "' + LONG + '"\n    "and fifteen more"\n)'}),
    (check_scraps, {INDEX: 'f(\n    "' + LONG + ' "\n    f"{six}"\n)'}),
    (check_scraps, {INDEX: 'f("six", "seven" + "eight", f"{nine:{ten}}", {"eleven": "twelve"})\n"thirteen"'}),
    (check_scraps, {INDEX: 'f(\n    "six"  # for a reason\n    "seven"\n)'}),
    (check_scraps, {INDEX: 'f(\n    r"\\six"\n    "seven\\n"\n    \'says "eight"\'\n)'}),
    (check_scraps, {INDEX: 'f(\n    "' + LONG + '{{}}"\n    f"{value:{width}}"\n)'}),
    (check_forbidden_text, {DESIGN: "a -> b \u2192 c, src/work/x, ~/work/, $HOME/x, https://a.org/home"}),
]
