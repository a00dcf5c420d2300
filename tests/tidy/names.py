"""What a rule or a setting names has to be there: else it forbids nothing, and nobody notices."""

import ast
import fnmatch
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from tests.tidy.sources import CORE, Example, Sources, bound_names, trees

WORD = re.compile(r"[A-Za-z_]\w*")
REQUIREMENT = re.compile(r"[\w-]+")
MADE_UP = re.compile(r"<.*?>")  # a class that mypy makes up


def is_module(sources: Sources, name: str) -> bool:
    """Return whether a dotted name is that of a module or of a package."""
    path = name.replace(".", "/")
    return f"{path}.py" in sources or f"{path}/__init__.py" in sources


def is_path(sources: Sources, name: str) -> bool:
    """Return whether a name is that of a file or of a directory with files."""
    return any(path == name or path.startswith(name + "/") for path in sources)


def is_matched(sources: Sources, pattern: str) -> bool:
    """Return whether a pattern matches a file."""
    return any(fnmatch.fnmatchcase(path, pattern) for path in sources)


def is_outside(sources: Sources, name: str) -> bool:
    """Return whether a name is that of a module of oxidbm, or of a package that oxidbm depends on."""
    project = tomllib.loads(sources.get("pyproject.toml", "")).get("project", {})
    needed = [REQUIREMENT.match(requirement) for requirement in project.get("dependencies", [])]
    return is_module(sources, name) or name in [found[0].replace("-", "_") for found in needed if found]


def is_in_core(sources: Sources, name: str) -> bool:
    """Return whether a name is that of a folder or of a module of the core."""
    return any(path.startswith(f"{CORE}{name}/") for path in sources) or is_module(sources, f"oxidbm._core.{name}")


# The lists of the rules that hold names, each with what tells whether one is there.
LISTS: dict[str, Callable[[Sources, str], bool]] = {
    "TEXT_DIRECTORIES": is_path,
    "TEXT_NAMES": lambda sources, name: is_matched(sources, name) or is_matched(sources, f"*/{name}"),
    "TEXT_SUFFIXES": lambda sources, suffix: is_matched(sources, f"*{suffix}"),
    "FORBIDDING": is_path,
    "OUTSIDE": is_outside,
    "FLOORS": is_in_core,
    "NARROW": is_in_core,
}


def listed_names(sources: Sources) -> Iterator[tuple[str, str, str]]:
    """Yield where the rules name something, the list and the name; a name in the core stands where it should be."""
    for path, tree in trees(sources, "tests/tidy/").items():
        for node in tree.body:
            for name, _ in bound_names(node):
                if name not in LISTS:
                    continue
                for part in ast.walk(node):
                    match part:
                        case ast.Constant(value=str(named)):
                            is_core = LISTS[name] is is_in_core
                            yield (
                                f"{CORE}{named.replace('.', '/')}" if is_core else f"{path}:{node.lineno}",
                                name,
                                named,
                            )


def settings(sources: Sources) -> Iterator[tuple[str, str, Callable[[Sources, str], bool]]]:
    """Yield the names in pyproject.toml that are of files or modules: setting, name, and what tells if it is there."""
    tool: dict[str, Any] = tomllib.loads(sources.get("pyproject.toml", "")).get("tool", {})
    ruff, mypy, coverage = tool.get("ruff", {}), tool.get("mypy", {}), tool.get("coverage", {})
    for setting in ("per-file-ignores", "extend-per-file-ignores"):
        for pattern in ruff.get("lint", {}).get(setting, {}):
            yield setting, pattern, is_matched
    for pattern in [
        *ruff.get("exclude", []),
        *ruff.get("extend-exclude", []),
        *coverage.get("run", {}).get("omit", []),
    ]:
        yield "exclude or omit", pattern, is_matched
    for override in mypy.get("overrides", []):
        modules = override["module"]
        for module in [modules] if isinstance(modules, str) else modules:
            yield "mypy's overrides", module.removesuffix(".*"), is_module
    for path in [*mypy.get("files", []), *coverage.get("run", {}).get("source", [])]:
        yield "files or source", path, is_path
    for path in tool.get("pytest", {}).get("ini_options", {}).get("testpaths", []):
        yield "testpaths", path, is_path
    for path in ruff.get("lint", {}).get("isort", {}).get("known-first-party", []):
        yield "known-first-party", path, is_path


def manifest_paths(text: str) -> Iterator[str]:
    """Yield the files and directories that a MANIFEST.in takes in."""
    for line in text.splitlines():
        command, *paths = line.split()
        if command in ("graft", "include"):
            yield from paths


def allowed_words(text: str) -> Iterator[str]:
    """Yield the names in a list of what the stub leaves out."""
    for line in text.splitlines():
        if not line.startswith("#"):
            yield from WORD.findall(MADE_UP.sub("", line))


def check_names(sources: Sources) -> list[str]:
    """Whatever the rules, pyproject.toml, MANIFEST.in and the stub's allowlist name is there."""
    faults = [
        f"{where}: {named}, which {name} names, is not there"
        for where, name, named in listed_names(sources)
        if not LISTS[name](sources, named)
    ]
    faults += [
        f"pyproject.toml: {name}, which {setting} names, is not there"
        for setting, name, is_there in settings(sources)
        if not is_there(sources, name)
    ]
    faults += [
        f"MANIFEST.in: {path} is not there"
        for path in manifest_paths(sources.get("MANIFEST.in", ""))
        if not is_path(sources, path)
    ]
    known = {word for path, text in sources.items() if path.startswith("oxidbm/") for word in WORD.findall(text)}
    faults += [
        f"tests/stubtest_allowlist.txt: {word} is nowhere in oxidbm"
        for word in allowed_words(sources.get("tests/stubtest_allowlist.txt", ""))
        if word not in known
    ]
    return faults


RULES = "tests/tidy/imports.py"
TOML = "pyproject.toml"
ALLOWED = "tests/stubtest_allowlist.txt"
BREATH = {"oxidbm/_breath.py": "def breathe() -> None: ..."}

BAD: list[Example] = [
    (check_names, {RULES: 'OUTSIDE = ("oxidbm._breath",)'}),
    (check_names, {RULES: 'OUTSIDE = ("oxidbm._breath", "oxidbm._views")', **BREATH}),
    (check_names, {RULES: 'OUTSIDE = ("librt", "msgspec")', TOML: '[project]\ndependencies = ["librt>=0.16.0,<1"]'}),
    (check_names, {RULES: 'FLOORS = ("device", "log")', "oxidbm/_core/device/device.py": ""}),
    (check_names, {RULES: 'NARROW = {"log": ("log.frames",)}', "oxidbm/_core/log/record.py": ""}),
    (check_names, {RULES: 'TEXT_DIRECTORIES = ("oxidbm", "benchmarks")', **BREATH}),
    (check_names, {RULES: 'TEXT_SUFFIXES = (".py", ".cfg")'}),
    (check_names, {RULES: 'TEXT_NAMES = ("GNUmakefile",)'}),
    (check_names, {RULES: 'FORBIDDING = "tests/tidy/text.py"'}),
    (check_names, {TOML: '[tool.ruff.lint.per-file-ignores]\n"bench/**" = ["T20"]'}),
    (check_names, {TOML: '[tool.ruff]\nextend-exclude = ["oxidbm/_old.py"]', **BREATH}),
    (check_names, {TOML: '[[tool.mypy.overrides]]\nmodule = "oxidbm._old"', **BREATH}),
    (check_names, {TOML: '[tool.mypy]\nfiles = ["oxidbm", "examples"]', **BREATH}),
    (check_names, {TOML: '[tool.coverage.run]\nomit = ["oxidbm/_old.py"]', **BREATH}),
    (check_names, {TOML: '[tool.pytest.ini_options]\ntestpaths = ["test"]', **BREATH}),
    (check_names, {"MANIFEST.in": "graft oxidbm\ninclude NEWS\nglobal-exclude *.so", **BREATH}),
    (check_names, {ALLOWED: "# what it has\noxidbm\\.(breathe|sigh)", **BREATH, "oxidbm/dbm.py": "oxidbm"}),
]

GOOD: list[Example] = [
    (check_names, {RULES: 'OUTSIDE = ("oxidbm._breath",)\nOTHER = ("anything",)', **BREATH}),
    (
        check_names,
        {
            RULES: 'OUTSIDE = ("a_b", "oxidbm.cli")',
            TOML: '[project]\ndependencies = ["a-b>=1"]',
            "oxidbm/cli/__init__.py": "",
        },
    ),
    (check_names, {RULES: 'FLOORS = ("log",)\nNARROW = {"log": ("log.frames",)}', "oxidbm/_core/log/frames.py": ""}),
    (
        check_names,
        {RULES: 'TEXT_SUFFIXES = (".py",)\nTEXT_NAMES = ("run",)\nTEXT_DIRECTORIES = (".ci",)', ".ci/run": ""},
    ),
    (
        check_names,
        {TOML: '[tool.ruff.lint.per-file-ignores]\n"oxidbm/**" = ["T20"]\n"oxidbm/_breath.py" = ["A"]', **BREATH},
    ),
    (check_names, {"MANIFEST.in": "graft oxidbm\nglobal-exclude *.so", **BREATH}),
    (check_names, {ALLOWED: "breathe\n<callable subtype of object>", **BREATH}),
]
