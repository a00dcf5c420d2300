"""The site: its navigation, its links, its reference, and a first screen that is the README's. Nothing is built here.

`make docs` builds it, strictly. Here is what that does not see, and what README.md, which is no page of it, links to.
"""

import ast
import importlib.util
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

import oxidbm
from oxidbm import codecs, dbm, device, queue, shelve, testing
from tests.support import ROOT
from tools import declarations, reference, site
from tools.declarations import Declared, declared, tree_of, type_text

pytestmark = pytest.mark.compiled_only("the texts are the same in both modes")

DOCS = ROOT / "docs"
PAGES = site.pages_of()
SITE = site.site_pages(PAGES, "https://example.org/oxidbm")
OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+?)(?: \{ #([\w.-]+) \})?$", re.MULTILINE)
LINK = re.compile(r"(?<!\\)\]\(([^)\s]*)\)|(?:src|srcset)=\"([^\"]+)\"")
QUOTED = re.compile(r"`([^`\n]+)`")
NAME = re.compile(  # store.incr, oxidbm.Log; not store.py, and not the marks of the reference
    r"(?<![\w./-])(?<!reference )(oxidbm|store|session|batch|Store|Session|Log|Queue)\.(?!py\b)([A-Za-z_]\w*)"
)
SCREEN = re.compile(r"<!-- first screen -->\n(.*?)<!-- /first screen -->", re.DOTALL)
MODULES = {
    "oxidbm": oxidbm,
    "oxidbm.codecs": codecs,
    "oxidbm.dbm": dbm,
    "oxidbm.device": device,
    "oxidbm.queue": queue,
    "oxidbm.shelve": shelve,
    "oxidbm.testing": testing,
}
ELSEWHERE = {  # public names that are described in words, or are those of another module
    "oxidbm": {"CheckpointKind", "Durability", "EvictionPolicy", "OnError"},
    "oxidbm.codecs": {
        "BOOL",
        "BYTES",
        "DATE",
        "DATETIME",
        "DECIMAL",
        "FLOAT",
        "INT",
        "JSON",
        "MSGPACK",
        "NAIVE_DATETIME",
        "Name",
        "OBJECTS",
        "PICKLE",
        "RAW",
        "STR",
        "TIME",
        "TIMEDELTA",
        "UUID",
    },
    "oxidbm.dbm": {"Database", "error", "open", "open_flags", "whichdb"},
    "oxidbm.queue": {"Empty", "Full", "Queue"},
}


def nav_pages(entries: object) -> Iterator[str]:
    """Yield the pages of a navigation, whatever they are called."""
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, dict):
        for entry in entries.values():
            yield from nav_pages(entry)
    elif isinstance(entries, list):
        for entry in entries:
            yield from nav_pages(entry)


def slug(heading: str, collapse: bool) -> str:
    """Return a heading's anchor as Markdown's toc makes it; without `collapse`, as a code host does."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).replace("\\", "")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip().lower()
    text = re.sub(r"[^\w\s-]", "", text)
    return re.sub(r"[-\s]+", "-", text).strip() if collapse else text.replace(" ", "-")


def anchors_of(text: str, collapse: bool = True) -> set[str]:
    """Return the anchors of a page."""
    found: dict[str, int] = {}
    for heading, given in HEADING.findall(FENCE.sub("", text)):
        name = given or slug(heading, collapse)
        found[name] = found.get(name, 0) + 1
    return {*found, *(f"{name}_{number}" for name, count in found.items() for number in range(1, count))}


def links_of(text: str) -> list[tuple[str, str]]:
    """Return path and anchor of each link that leads to no other site."""
    words = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    targets = [first or second for first, second in LINK.findall(words)]
    return [target.partition("#")[::2] for target in targets if target and "://" not in target]


def dead_links(page: str, text: str, pages: dict[str, str], directory: Path, collapse: bool) -> list[str]:
    """Return the links of a page that lead nowhere."""
    dead = []
    for path, anchor in links_of(text):
        target = page if not path else str(PurePosixPath(page).parent / path)
        target = re.sub(r"[\w-]+/\.\./", "", target)
        if not (directory / target).exists():
            dead.append(path)
        elif anchor and target in pages and anchor not in anchors_of(pages[target], collapse):
            dead.append(f"{path}#{anchor}")
    return dead


def test_the_navigation_has_every_page_once() -> None:
    configured = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(nav_pages(configured["project"]["nav"])) == sorted(PAGES)


@pytest.mark.parametrize("page", SITE)
def test_links_of_the_site_lead_to_pages_and_headings(page: str) -> None:
    assert dead_links(page, SITE[page], SITE, DOCS, collapse=True) == []


@pytest.mark.parametrize("name", OTHERS)
def test_links_beside_the_site_lead_to_pages_and_headings(name: str) -> None:
    texts = {f"docs/{page}": text for page, text in PAGES.items()}
    texts |= {other: (ROOT / other).read_text(encoding="utf-8") for other in OTHERS}
    assert dead_links(name, texts[name], texts, ROOT, collapse=False) == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](b.md) [b](b.md#there) [c](#here)\n# Here", []),
        ("[a](c.md)", ["c.md"]),
        ("[a](b.md#nowhere) [b](#here) `[c](d.md)`\n```\n[e](f.md)\n# Here\n```", ["b.md#nowhere", "#here"]),
        ('<img src="b.md"><source srcset="c.svg">', ["c.svg"]),
    ],
)
def test_dead_links_are_found(text: str, dead: list[str], tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("## There")
    (tmp_path / "a.md").write_text(text)
    assert dead_links("a.md", text, {"a.md": text, "b.md": "## There"}, tmp_path, collapse=True) == dead


@pytest.mark.parametrize("page", PAGES)
def test_names_that_a_page_mentions_are_there(page: str) -> None:
    mentioned = {name for quoted in QUOTED.findall(FENCE.sub("", PAGES[page])) for name in NAME.findall(quoted)}
    owners = {"oxidbm": oxidbm, "store": oxidbm.Store, "session": oxidbm.Session, "batch": oxidbm.Batch}
    owners |= {"Store": oxidbm.Store, "Session": oxidbm.Session, "Log": oxidbm.Log, "Queue": oxidbm.Queue}
    mentioned -= {("oxidbm", name) for _, name in mentioned if importlib.util.find_spec(f"oxidbm.{name}")}
    mentioned -= {("session", "cache")}  # of a session of requests
    assert [f"{owner}.{name}" for owner, name in sorted(mentioned) if not hasattr(owners[owner], name)] == []


def test_the_first_screens_of_readme_and_site_are_one() -> None:
    [own] = SCREEN.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    [sites] = SCREEN.findall(PAGES["index.md"])
    assert own.replace("(docs/", "(").replace('"docs/', '"') == sites
    code = next(block for block in own.split("```") if block.startswith("python\n"))
    assert len([line for line in code.splitlines()[1:] if line]) <= 11
    assert "pip install" in own


def test_pictures_follow_the_switch_of_the_site() -> None:
    assert PAGES["index.md"].count("<picture>") == 1
    assert 'src="chart-light.svg#only-light"' in SITE["index.md"]
    assert 'src="chart-dark.svg#only-dark"' in SITE["index.md"]
    assert "<picture>" not in SITE["index.md"]


def test_code_picture_and_words_of_the_first_page_are_parts_that_stand_side_by_side() -> None:
    parts = SITE["index.md"].split('<div class="screen-')
    assert [part[0] for part in parts[1:]] == ["1", "2", "3"]
    assert "import oxidbm" in parts[1]
    assert "#only-dark" in parts[2]
    assert "Good for:" in parts[3]
    assert SITE["index.md"].count("<div") == SITE["index.md"].count("</div>") == 4


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(module: str) -> None:
    places = reference.Reference(PAGES).places
    names = set(MODULES[module].__all__) - ELSEWHERE.get(module, set())
    assert [name for name in sorted(names) if f"{module}.{name}" not in places] == []


@pytest.mark.parametrize("name", ["Store", "Batch", "Session", "Log", "Queue", "Checkpoint"])
def test_the_reference_has_every_public_method(name: str) -> None:
    places = reference.Reference(PAGES).places
    members = [member for member in vars(getattr(oxidbm, name)) if not member.startswith("_")]
    for node in tree_of("oxidbm").body:
        if isinstance(node, ast.ClassDef) and node.name == name:  # compiled classes have more at run time
            members = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
    public = [member for member in members if not member.startswith("_")]
    assert len(public) > 3
    assert [member for member in public if f"oxidbm.{name}.{member}" not in places] == []


def test_the_reference_is_put_in_place_of_its_marks() -> None:
    assert all("<!-- reference" not in text for page, text in SITE.items() if page.startswith("reference/"))
    assert "### incr { #oxidbm.Store.incr }" in SITE["reference/store.md"]
    assert "](#oxidbm.Store.refresh)" in SITE["reference/store.md"]
    assert "](errors.md#oxidbm.LockedError)" in SITE["reference/store.md"]
    assert "](../guides/checkpoints.md)" in SITE["reference/store.md"]


SHOP = '''
from collections.abc import Iterable
_Bytes: TypeAlias = str | ReadableBuffer

class Shop(Mapping[_K, _V]):
    """A shop."""

    @overload
    def __init__(self: Shop[bytes], path: StrOrBytesPath, *, key: None = None, mode: int = 0o666) -> None: ...
    @overload
    def __init__(self: Shop[_CK], path: StrOrBytesPath, *, key: type[_CK], mode: int = 0o666) -> None:
        """path: where it is."""

    @property
    def path(self) -> str | None:
        """Its path."""

    @overload
    def get(self: Shop[bytes], key: _Bytes, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _T) -> _V | _T:
        """Return a value."""

    @overload
    def pop(self, key: _K) -> _V: ...
    @overload
    def pop(self, key: _K, default: "_T") -> _V | _T:
        """Remove a value."""

    def note(self, *words: _Bytes, kind: Literal["a", "_K"] = "a") -> None:
        """Take a note."""

    def _hidden(self) -> None:
        """Is not shown."""
'''


def test_overloads_are_shown_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "PACKAGE", tmp_path)
    (tmp_path / "shop.py").write_text(SHOP)
    shop = declared("oxidbm.shop", "Shop")
    assert shop.signature.splitlines() == [
        "Shop(",
        "    path: str | bytes | PathLike,",
        "    *,",
        "    key: type[K] | None = None,",
        "    mode: int = 0o666,",
        ")",
    ]
    assert shop.plain == "class Shop(Mapping[K, V])"
    assert [member.signature for member in shop.members] == [
        "path: str | None",
        "get(key: K, default: T | None = None) -> V | T | None",
        "pop(key: K, default: T = ...) -> V | T",
        'note(*words: str | Buffer, kind: Literal["a", "_K"] = "a") -> None',
    ]
    assert [member.kind for member in shop.members] == ["property", *["function"] * 3]
    assert "path" in shop.parameters


def test_what_others_make_has_no_constructor_in_the_reference() -> None:
    assert declared("oxidbm", "Session").signature == "class Session"
    assert declared("oxidbm", "KeyVersion").signature == "class KeyVersion(NamedTuple)"
    assert declared("oxidbm", "CodecError").signature == "class CodecError(FormatError)"


def test_a_name_that_is_not_there_or_is_shown_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="no Shop"):
        declared("oxidbm", "Shop")
    with pytest.raises(ValueError, match=r"no module oxidbm\.bazaar"):
        declared("oxidbm.bazaar", "Shop")
    mark = "<!-- reference oxidbm.Session -->"
    with pytest.raises(ValueError, match=r"oxidbm\.Session is shown by a\.md and again by b\.md"):
        reference.Reference({"a.md": mark, "b.md": mark})
    with pytest.raises(ValueError, match=r"a\.md asks for sell of oxidbm\.Session"):
        reference.Reference({"a.md": "<!-- reference oxidbm.Session: commit sell -->"})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("_K | None", "K | None"),
        ("Literal['_K']", "Literal['_K']"),
        ("'Store[_K]'", "Store[K]"),
        ("os.PathLike[str]", "PathLike"),
        ("P.args", "P.args"),
    ],
)
def test_types_are_written_for_readers(written: str, read: str) -> None:
    assert type_text(ast.parse(written, mode="eval").body, {"_K": "K"}) == read


def test_documentation_is_text_but_for_its_lists_and_code() -> None:
    pages = reference.Reference({"a.md": "<!-- reference oxidbm.Session -->"})
    said = "Do *this*_ <b>.\nkey: one\n    and more\n\nNot: a list\n\n    key: code *"
    text = pages.said(Declared("f", "function", "f()", said, ("key",)), "oxidbm", "a.md")
    assert text == "Do \\*this\\*\\_ &lt;b>.\n\n- `key`: one\n  and more\n\nNot: a list\n\n    key: code *"


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://example.org/someone/oxidbm.git\n", "https://example.org/someone/oxidbm"),
        ("git@example.org:someone/oxidbm.git", "https://example.org/someone/oxidbm"),
        ("ssh://git@example.org/someone/oxidbm", "https://example.org/someone/oxidbm"),
        ("https://user:word@example.org/oxidbm", ""),
        ("/srv/oxidbm", ""),
        ("", ""),
    ],
)
def test_the_repository_is_where_the_clone_came_from_if_that_is_public(origin: str, address: str) -> None:
    assert site.public_address(origin) == address


def test_the_site_links_to_the_repository_where_there_is_one() -> None:
    text = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert site.configuration(text, "") == text
    project = tomllib.loads(site.configuration(text, "https://example.org/someone/oxidbm"))["project"]
    assert (project["repo_url"], project["repo_name"]) == ("https://example.org/someone/oxidbm", "someone/oxidbm")
    assert "[Repository](https://example.org/oxidbm)" in SITE["index.md"]
    assert "Repository](" not in site.site_pages(PAGES)["index.md"]


def test_the_page_of_options_has_each_with_its_default() -> None:
    tree = ast.parse((ROOT / "oxidbm" / "__init__.pyi").read_text(encoding="utf-8"))
    [store] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Store"]
    begin = next(node for node in store.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    defaults = {"path": begin.args.defaults[0]} | {
        argument.arg: default
        for argument, default in zip(begin.args.kwonlyargs, begin.args.kw_defaults, strict=True)
        if default is not None
    }
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| `(.+?)` \| .+ \|$", PAGES["guides/options.md"], re.MULTILINE)
    said = {name: default for names, default in rows for name in re.findall(r"[a-z_]+", names)}
    assert {name: ast.literal_eval(text) for name, text in said.items()} == {
        name: ast.literal_eval(default) for name, default in defaults.items()
    }
