"""Who may import whom. Imports inside of functions and under TYPE_CHECKING count like any other."""

import ast
import sys
from collections.abc import Iterator

from tests.tidy.sources import CORE, Example, Sources, trees

# The folders of oxidbm/_core from the bottom up, below them all the files beside the folders. A file imports from its
# own folder and from those before it.
FLOORS = ("device", "log", "index", "table", "durability", "store", "faster_log", "queue")

# A folder that may not import all that is below it, and the folders and modules below it that it may: an index maps
# hashes to addresses and knows nothing of what stands there; a log that stands alone has neither index nor table.
NARROW: dict[str, tuple[str, ...]] = {
    "index": (),
    "faster_log": ("device", "log", "durability"),
    "queue": ("device", "log", "durability", "faster_log"),
}

# What the core imports from outside of itself besides the standard library; of oxidbm what is interpreted, because that
# is what each is for.
OUTSIDE = (
    "oxidbm._async",
    "oxidbm._breath",
    "oxidbm._buffers",
    "oxidbm._codec_types",
    "oxidbm._key_codecs",
    "oxidbm._log_backup",
    "oxidbm._logbook",
    "oxidbm._numbers",
    "oxidbm._pickling",
    "oxidbm._prompt",
    "oxidbm._pure",
    "oxidbm._remove",
    "oxidbm._views",
    "oxidbm.codecs",
    "oxidbm._memoize",
    "oxidbm._queue_errors",
    "oxidbm._store_backup",
    "librt",
    "mypy_extensions",
    "sortedcontainers",
)


def module_name(path: str) -> str:
    """Return the dotted name of the module at a path; a package's is that of its __init__.py."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported_names(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported, wherever in the file it is.

    `from a import b` is `a.b`, whether b is a module or a name in one.
    """
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*above, *filter(None, [node.module]), alias.name])


def is_within(name: str, module: str) -> bool:
    """Return whether a dotted name is that of a module or of something in it."""
    return name == module or name.startswith(module + ".")


def floor_fault(folder: str, name: str) -> str | None:
    """Say why a file in a folder of the core may not import a name of the core; None where it may."""
    inner = name.removeprefix("oxidbm._core").lstrip(".")
    target = inner.partition(".")[0] if inner.partition(".")[0] in FLOORS else ""
    if not target:
        return None
    if not folder:
        return f"imports {name}, and a file beside the folders imports none of them"
    if FLOORS.index(target) > FLOORS.index(folder):
        return f"imports {name}, and {target} is above {folder}"
    if folder in NARROW and not any(is_within(inner, allowed) for allowed in (folder, *NARROW[folder])):
        return f"imports {name}, which {folder} does not need"
    return None


def check_floors(sources: Sources) -> list[str]:
    """A file of the core imports from its own folder and from those below it; an __init__.py imports nothing."""
    faults = []
    for path, tree in trees(sources, CORE).items():
        inner = path.removeprefix(CORE)
        folder = inner.split("/")[0] if "/" in inner else ""
        if folder and folder not in FLOORS:
            faults.append(f"{path}: the folder {folder} has no place in FLOORS (tests/tidy/imports.py)")
            continue
        for line, name in imported_names(path, tree):
            if not is_within(name, "oxidbm._core"):
                continue
            marks_package = inner.rpartition("/")[2] == "__init__.py"
            fault = f"imports {name}, and only marks a package" if marks_package else floor_fault(folder, name)
            if fault is not None:
                faults.append(f"{path}:{line}: {fault}")
    return faults


def check_outside(sources: Sources) -> list[str]:
    """The core imports, outside of itself and the standard library, only what OUTSIDE lists."""
    return [
        f"{path}:{line}: imports {name}, which is not in OUTSIDE (tests/tidy/imports.py)"
        for path, tree in trees(sources, CORE).items()
        for line, name in imported_names(path, tree)
        if not any(is_within(name, module) for module in ("oxidbm._core", *OUTSIDE))
        and name.partition(".")[0] not in sys.stdlib_module_names
    ]


def import_graph(sources: Sources) -> dict[str, set[str]]:
    """Return which files of oxidbm each file of oxidbm imports; a name in a module stands for the module."""
    files = {module_name(path): path for path in sources if path.startswith("oxidbm/") and path.endswith(".py")}
    graph: dict[str, set[str]] = {path: set() for path in files.values()}
    for path, tree in trees(sources, "oxidbm/").items():
        for _, name in imported_names(path, tree):
            module = name
            while module not in files and "." in module:
                module = module.rpartition(".")[0]
            if module in files:
                graph[path].add(files[module])
    return graph


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return what one comes to from a node of a graph; the node itself only where a circle leads back."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the sets of nodes that lead to each other, a node that leads to itself included."""
    reach = {node: reachable(graph, node) for node in graph}
    found = {
        tuple(sorted(other for other in reach[node] if node in reach[other])) for node in graph if node in reach[node]
    }
    return [list(circle) for circle in sorted(found)]


def folder_of(path: str) -> str:
    """Return the folder a file counts for: those at the top of oxidbm stand for themselves."""
    folder = path.rpartition("/")[0]
    return path if folder == "oxidbm" else folder + "/"


def check_circles(sources: Sources) -> list[str]:
    """No files of oxidbm import each other around a circle, and no folders do where no circle of files says so."""
    graph = import_graph(sources)
    folders: dict[str, set[str]] = {folder_of(path): set() for path in graph}
    for path, targets in graph.items():
        folders[folder_of(path)] |= {folder_of(target) for target in targets} - {folder_of(path)}
    found = circles(graph)
    said = [{folder_of(path) for path in circle} for circle in found]
    found += [circle for circle in circles(folders) if set(circle) not in said]
    return [f"{circle[0]}: in a circle of imports: {', '.join(circle)}" for circle in found]


INDEX = "oxidbm/_core/index/hash_index.py"
CHUNKS = "oxidbm/_core/index/chunks.py"
SCAN = "oxidbm/_core/table/scan.py"

BAD: list[Example] = [
    (check_floors, {INDEX: "from oxidbm._core.store.store import Store"}),
    (check_floors, {INDEX: "from oxidbm._core.table import scan"}),
    (check_floors, {INDEX: "from oxidbm._core import table"}),
    (check_floors, {INDEX: "import oxidbm._core.table.scan as scan"}),
    (check_floors, {INDEX: "from ..store import store"}),
    (check_floors, {INDEX: "def f():\n    from oxidbm._core.store.store import Store"}),
    (check_floors, {INDEX: "if TYPE_CHECKING:\n    from oxidbm._core.store.store import Store"}),
    (check_floors, {"oxidbm/_core/life.py": "from oxidbm._core.device.device import Device"}),
    (check_floors, {"oxidbm/_core/__init__.py": "from oxidbm._core.errors import error"}),
    (check_floors, {"oxidbm/_core/index/__init__.py": "from oxidbm._core.errors import error"}),
    (check_floors, {"oxidbm/_core/utilities/words.py": ""}),
    (check_floors, {INDEX: "from oxidbm._core.log.record import decode"}),
    (check_floors, {INDEX: "from oxidbm._core.device import segments"}),
    (check_outside, {INDEX: "import oxidbm"}),
    (check_outside, {INDEX: "from oxidbm import dbm"}),
    (check_outside, {INDEX: "from oxidbm.dbm import open"}),
    (check_outside, {INDEX: "from oxidbm.codecs_of_old import resolve"}),
    (check_outside, {INDEX: "import msgspec"}),
    (check_outside, {INDEX: "from tests.support import run"}),
    (check_circles, {INDEX: "import oxidbm._core.index.hash_index"}),
    (check_circles, {INDEX: "from oxidbm._core.index.chunks import f", CHUNKS: "from . import hash_index"}),
    (check_circles, {"oxidbm/dbm.py": "from oxidbm import open", "oxidbm/__init__.py": "from oxidbm.dbm import open"}),
    (
        check_circles,
        {
            "oxidbm/_views.py": "if TYPE_CHECKING:\n    from oxidbm._core.table.scan import Cursor",
            SCAN: "def f():\n    from oxidbm._core.index.hash_index import g",
            INDEX: "import oxidbm._views",
        },
    ),
    (
        check_circles,
        {
            INDEX: "from oxidbm._core.table import scan",
            SCAN: "",
            "oxidbm/_core/table/locate.py": "from oxidbm._core.index.chunks import f",
            CHUNKS: "",
        },
    ),
]

GOOD: list[Example] = [
    (check_floors, {INDEX: "import os\nfrom oxidbm._core import hashing\nfrom oxidbm._core.budget import Budget"}),
    (check_floors, {SCAN: "from oxidbm._core.log.record import decode\nfrom oxidbm._core.index import entry"}),
    (check_floors, {INDEX: "from oxidbm._core.index.chunks import Chunks\nfrom . import buckets"}),
    (check_floors, {INDEX: "from oxidbm import _breath"}),
    (check_floors, {"oxidbm/_core/a_new_file.py": "from oxidbm._core.errors import error"}),
    (check_floors, {"oxidbm/_core/store/a_new_file.py": "from oxidbm._core.durability.commit import Commits"}),
    (check_floors, {"oxidbm/dbm.py": "from oxidbm._core.store.store import Store"}),
    (check_outside, {INDEX: "import os.path\nfrom oxidbm import _breath\nfrom oxidbm.codecs import RAW\nimport librt"}),
    (check_outside, {INDEX: "from librt.vecs import vec\nfrom oxidbm._core.store.store import Store"}),
    (check_outside, {"oxidbm/codecs.py": "import msgspec"}),
    (check_circles, {INDEX: "from oxidbm._core.log import record", "oxidbm/_core/log/record.py": ""}),
    (check_circles, {"oxidbm/__init__.py": "from oxidbm import _pure", "oxidbm/_pure.py": "import sys"}),
    (
        check_circles,
        {
            "oxidbm/__init__.py": "from oxidbm._core.table.scan import Cursor",
            SCAN: "from oxidbm import _breath",
            "oxidbm/_breath.py": "from oxidbm import _pure",
            "oxidbm/_pure.py": "",
        },
    ),
]
