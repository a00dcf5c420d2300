"""What compiled code must not do: each of these cost a bug or a factor (docs/design.md, "Rules of compiled code")."""

import ast
from collections import Counter
from collections.abc import Iterable

from tests.tidy.sources import (
    CORE,
    Example,
    Function,
    Sources,
    bound_names,
    functions,
    is_constant_name,
    module_statements,
    trees,
)

INTEGER_TYPES = ("i64", "i32", "i16", "u8", "int")
VALUE_TYPES = (*INTEGER_TYPES, "float", "bool")  # what a vec holds as it is, without a reference
TYPE_MAKERS = ("TypeVar", "ParamSpec", "TypeVarTuple", "NewType")
LETTER_LINES_MAX = 12
REGIONS = ("begin", "head", "flushed", "sealed", "read_only", "tail", "limit", "tail_open")


def is_constant(node: ast.expr | None, names: set[str]) -> bool:
    """Tell whether an integer expression is made of literals and the given names, which stand for literals."""
    match node:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int()):
            return True
        case ast.UnaryOp(operand=operand):
            return is_constant(operand, names)
        case ast.BinOp(left=left, right=right):
            return is_constant(left, names) and is_constant(right, names)
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in INTEGER_TYPES:
            return is_constant(argument, names)
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name in names
    return False


def final_constants(modules: Iterable[ast.AST]) -> set[str]:
    """Return the names that are `Final` integer constants in any of the modules; constants of constants too."""
    finals = [
        node
        for module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.AnnAssign) and "Final" in ast.unparse(node.annotation)
    ]
    names: set[str] = set()
    while True:
        found = {ast.unparse(node.target) for node in finals if is_constant(node.value, names)}
        if found <= names:
            return names
        names |= found


def local_constants(function: ast.AST, finals: set[str]) -> set[str]:
    """Return a function's locals that are bound once, to a constant: in the C code they are literals as well."""
    bindings = Counter(
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    bindings.update(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))
    names = set()
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if bindings[name] == 1 and is_constant(node.value, finals):
                    names.add(name)
    return names


def is_folded(node: ast.expr, finals: set[str]) -> bool:
    """Tell whether mypyc itself computes a constant: not through a local or an `i64()`."""
    return is_constant(node, finals) and not any(isinstance(part, ast.Call) for part in ast.walk(node))


def check_shifts(sources: Sources) -> list[str]:
    """The core shifts no constant left, unless mypyc folds the whole shift.

    Any other becomes a 32-bit shift of C literals: 1 << n is 256 for 40, i64(1) << 31 is negative.
    """
    modules = trees(sources, CORE)
    finals = final_constants(modules.values())
    faults = {}
    for path, tree in modules.items():
        for scope in [tree, *functions(tree)]:
            names = finals if scope is tree else finals | local_constants(scope, finals)
            for node in ast.walk(scope):
                if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.LShift):
                    continue
                folded = is_folded(node.left, finals) and is_folded(node.right, finals)
                if is_constant(node.left, names) and not folded:
                    fault = f"{path}:{node.lineno}: {ast.unparse(node)} shifts a constant, in 32 bits"
                    faults[path, node.lineno] = fault
    return list(faults.values())


def check_from_none(sources: Sources) -> list[str]:
    """The core raises nothing `from None` that does not go through `alone`: compiled, `from None` does nothing."""
    faults = []
    for path, tree in trees(sources, CORE).items():
        for node in ast.walk(tree):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id="alone"))):
                    pass
                case ast.Raise(cause=ast.Constant(value=None)):
                    faults.append(f"{path}:{node.lineno}: {ast.unparse(node)} is shown with what it hides")
    return faults


def makes_type(node: ast.stmt) -> bool:
    """Return whether an assignment names a type, which cannot be Final."""
    match node:
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))):
            return name in TYPE_MAKERS
        case ast.AnnAssign(annotation=annotation):
            return "TypeAlias" in ast.unparse(annotation)
    return False


def check_final(sources: Sources) -> list[str]:
    """Every constant of a core module is Final.

    Others are looked up in the module's dict and unboxed at each use: one of them cost 13 % of an insertion.
    """
    return [
        f"{path}:{node.lineno}: the constant {name} is not Final"
        for path, tree in trees(sources, CORE).items()
        for node in module_statements(tree)
        if not makes_type(node)
        for name, annotation in bound_names(node)
        if is_constant_name(name) and (annotation is None or "Final" not in ast.unparse(annotation))
    ]


def element_types(tree: ast.AST) -> dict[str, set[str]]:
    """Return what the vecs of a name hold in a module: of a local, an argument or an attribute."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), annotation=kind):
                pass
            case ast.arg(arg=name, annotation=ast.expr() as kind):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=kind)):
                pass
            case _:
                continue
        match kind:
            case ast.Subscript(value=ast.Name(id="vec"), slice=element):
                found.setdefault(name, set()).add(ast.unparse(element))
    return found


def cleared(node: ast.stmt) -> str | None:
    """Return which vec a statement clears a slot of: by a value that is not an element itself."""
    match node:
        case ast.Assign(targets=[ast.Subscript(value=target)], value=ast.Constant() | ast.Attribute() | ast.Name()):
            return ast.unparse(target)
    return None


def popped(node: ast.stmt) -> str | None:
    """Return which vec a statement takes the last element off."""
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Name(id="pop"), args=[target, *_]):
                return ast.unparse(target)
    return None


def block_faults(statements: list[ast.stmt], numbers: set[str]) -> list[tuple[int, str]]:
    """Return line and vec of each pop in a block, unless the block has cleared a slot or the vec is of numbers."""
    faults = []
    clear: set[str] = set()
    for statement in statements:
        blocks = [getattr(statement, field, []) for field in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(statement, "handlers", [])]
        if any(blocks):
            faults += [fault for block in blocks for fault in block_faults(block, numbers)]
            continue
        if target := cleared(statement):
            clear.add(target)
        if target := popped(statement):
            if target.rpartition(".")[2] not in numbers and target not in clear:
                faults.append((statement.lineno, target))
            clear.discard(target)
    return faults


def check_pops(sources: Sources) -> list[str]:
    """Before `pop` takes the last of a vec of objects, the same block sets that slot to a harmless value.

    librt leaves a second reference behind the vec's end, and the next append drops it: at a time of its own, which for
    a view may be after its frame was freed. A vec of numbers needs nothing; one of unknown type is
    taken to hold objects.
    """
    modules = trees(sources, CORE)
    everywhere: dict[str, set[str]] = {}
    for tree in modules.values():
        for name, elements in element_types(tree).items():
            everywhere.setdefault(name, set()).update(elements)
    faults = []
    for path, tree in modules.items():
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "librt.vecs"]
        if not any(alias.name == "pop" for node in imports for alias in node.names):
            continue
        types = {**everywhere, **element_types(tree)}
        numbers = {name for name, elements in types.items() if elements <= set(VALUE_TYPES)}
        for function in functions(tree):
            for line, target in block_faults(function.body, numbers):
                faults.append(f"{path}:{line}: pop({target}) leaves a reference, its slot was not cleared before")
    return faults


def check_handlers(sources: Sources) -> list[str]:
    """Handlers of one function that catch different types have different names: the first one's type is the name's."""
    faults = []
    for path, tree in trees(sources, CORE).items():
        for function in functions(tree):
            types: dict[str, str] = {}
            for node in ast.walk(function):
                match node:
                    case ast.ExceptHandler(name=str(name), type=ast.expr() as caught):
                        if types.setdefault(name, ast.unparse(caught)) != ast.unparse(caught):
                            faults.append(f"{path}:{node.lineno}: {function.name}: {name} is of another type above")
    return faults


def letters(function: Function) -> dict[str, list[int]]:
    """Return the lines on which a function binds or uses each name of one letter that it binds itself."""
    lines: dict[str, list[int]] = {}
    own = set()
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=context, lineno=line):
                binds = isinstance(context, ast.Store)
            case ast.arg(arg=name, lineno=line):
                binds = True
            case ast.ExceptHandler(name=str(name), lineno=line):
                binds = True
            case _:
                continue
        if len(name) == 1 and name != "_":
            lines.setdefault(name, []).append(line)
            if binds:
                own.add(name)
    return {name: lines[name] for name in own}


def letter_attributes(tree: ast.AST) -> dict[str, int]:
    """Return the attributes of one letter that a module sets or a class declares, each with a line."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()) if len(name) == 1:
                found.setdefault(name, node.lineno)
            case ast.ClassDef(body=body):
                for statement in body:
                    for name, _ in bound_names(statement):
                        if len(name) == 1:
                            found.setdefault(name, statement.lineno)
    return found


def check_letters(sources: Sources) -> list[str]:
    """No local or argument of one letter is used over more than a dozen lines, and no attribute has one letter.

    Type variables may: they are types, and of the module.
    """
    faults = []
    for path, tree in trees(sources, CORE).items():
        for name, line in letter_attributes(tree).items():
            faults.append(f"{path}:{line}: the attribute {name} is one letter")
        for node in module_statements(tree):
            for name, _ in bound_names(node):
                if len(name) == 1 and name != "_" and not makes_type(node):
                    faults.append(f"{path}:{node.lineno}: the module's name {name} is one letter")
        for function in functions(tree):
            for name, lines in letters(function).items():
                span = max(lines) - min(lines) + 1
                if span > LETTER_LINES_MAX:
                    fault = f"{name} is one letter over {span} lines, {LETTER_LINES_MAX} are the most"
                    faults.append(f"{path}:{min(lines)}: {function.name}: {fault}")
    return faults


def check_regions(sources: Sources) -> list[str]:
    """Only hybrid_log.py assigns the addresses of a log's regions."""
    faults = []
    for path, tree in trees(sources, CORE).items():
        if path == HYBRID_LOG:
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=owner, attr=name, ctx=ast.Store()) if name in REGIONS:
                    if ast.unparse(owner).rpartition(".")[2] == "log" and "record" not in ast.unparse(owner):
                        faults.append(f"{path}:{node.lineno}: assigns {ast.unparse(node)}, which the log moves itself")
    return faults


HYBRID_LOG = "oxidbm/_core/log/hybrid_log.py"
FRAMES = "oxidbm/_core/log/frames.py"
POP = "from librt.vecs import pop\ndef f(views: vec[bytes], last: i64) -> None:\n"
SELF_POP = (
    "from librt.vecs import append, pop\nclass C:\n    def __init__(self):\n        self.words: vec[{}] = vec[{}]()\n"
    "    def f(self, last):\n"
)
HANDLER = "    except {} as {}:\n        pass\n"
TWO_HANDLERS = "def f():\n    try:\n        pass\n" + HANDLER.format("ValueError", "failure") + HANDLER
DOZEN = "    pass\n" * LETTER_LINES_MAX
DEEP_DOZEN = "        pass\n" * LETTER_LINES_MAX

BAD: list[Example] = [
    (check_regions, {FRAMES: "def f(log):\n    log.tail = 64"}),
    (check_regions, {FRAMES: "class C:\n    def f(self):\n        self.table.log.begin += 8"}),
    (check_regions, {FRAMES: "def f(log, other):\n    other.x, log.head = 1, 2"}),
    (check_from_none, {FRAMES: "def f():\n    raise KeyError from None"}),
    (check_shifts, {FRAMES: "def f(n):\n    return 1 << n"}),
    (check_shifts, {FRAMES: "def f(n):\n    return i64(1) << n"}),
    (check_shifts, {FRAMES: "def f(n):\n    return -(2 + 3) << (n + 1)"}),
    (check_shifts, {FRAMES: "ONE: Final = 1\ndef f(n):\n    return ONE << n"}),
    (check_shifts, {FRAMES: "ONE: Final[i64] = 1\nTWO: Final = ONE + 1\ndef f(n):\n    return address.TWO << n"}),
    (check_shifts, {FRAMES: "def f(n):\n    one: i64 = 1\n    return one << n"}),
    (check_shifts, {FRAMES: "def f(n):\n    one: i64 = 1\n    return one << 31"}),
    (check_shifts, {FRAMES: "def f(n):\n    shift: i64 = 31\n    return 1 << shift"}),
    (check_shifts, {FRAMES: "def f(n):\n    return i64(1) << 31"}),
    (check_final, {FRAMES: "LIMIT = 3"}),
    (check_final, {FRAMES: "LIMIT: int = 3"}),
    (check_final, {FRAMES: "if sys.version_info > (3, 12):\n    LIMIT = 3"}),
    (check_final, {FRAMES: "try:\n    pass\nexcept OSError:\n    _WORD_BYTES = 8"}),
    (check_final, {FRAMES: "FIRST: Final = 1\nSECOND, third = f()"}),
    (check_handlers, {FRAMES: TWO_HANDLERS.format("OSError", "failure")}),
    (check_pops, {FRAMES: POP + "    views, _ = pop(views)"}),
    (check_pops, {FRAMES: POP + "    views[last] = views[0]\n    views, _ = pop(views)"}),
    (check_pops, {FRAMES: POP + "    views, _ = pop(views)\n    views[last] = b''"}),
    (check_pops, {FRAMES: POP + "    views[last] = b''\n    views, _ = pop(views)\n    views, _ = pop(views)"}),
    (check_pops, {FRAMES: POP + "    other[last] = b''\n    views, _ = pop(views)"}),
    (check_pops, {FRAMES: POP + "    if last > 0:\n        views[last] = b''\n    views, _ = pop(views)"}),
    (check_pops, {FRAMES: "from librt.vecs import pop\ndef f():\n    return pop(of_unknown_type)[0]"}),
    (check_pops, {FRAMES: SELF_POP.format("vec[i64]", "vec[i64]") + "        self.words, _ = pop(self.words)"}),
    (check_letters, {FRAMES: "def f(e: Engine):\n" + DOZEN + "    return e"}),
    (check_letters, {FRAMES: "class C:\n    def f(self):\n        e = self.engine\n" + DEEP_DOZEN + "        e()"}),
    (check_letters, {FRAMES: "def f():\n    i = 0\n" + DOZEN + "    while i < 3:\n        i += 1"}),
    (check_letters, {FRAMES: "def f():\n    for i in range(3):\n        pass\n" + DOZEN + "    return i"}),
    (check_letters, {FRAMES: "class C:\n    def __init__(self, engine):\n        self.e = engine"}),
    (check_letters, {FRAMES: "class C:\n    e: Engine"}),
    (check_letters, {FRAMES: "n: Final = 3"}),
]

GOOD: list[Example] = [
    (check_regions, {HYBRID_LOG: "def f(log):\n    log.tail = 64"}),
    (check_regions, {FRAMES: "def f(record, log):\n    record.log.begin = log.begin\n    log.due = False"}),
    (
        check_from_none,
        {FRAMES: "def f():\n    raise alone(KeyError()) from None\ndef g(e):\n    raise KeyError from e"},
    ),
    (check_from_none, {"oxidbm/dbm.py": "def f():\n    raise KeyError from None"}),
    (check_shifts, {FRAMES: "BITS: Final = 48\nMASK: Final = (1 << BITS) - 1\ndef f(x):\n    return x << BITS"}),
    (check_shifts, {FRAMES: "def shl(x, n):\n    return x << n"}),
    (check_shifts, {FRAMES: "def f(n):\n    bit = 1\n    while n > bit:\n        bit = bit << n\n    return bit"}),
    (check_shifts, {"bench/engines.py": "def f(n):\n    return 1 << n"}),
    (check_final, {FRAMES: "LIMIT: Final = 3\nBYTES: Final[i64] = 8\nMACHINE: typing.Final = Machine()"}),
    (check_final, {FRAMES: "K = TypeVar('K')\nR: TypeAlias = 'Reader'\nlower = 3"}),
    (check_final, {FRAMES: "def f():\n    LIMIT = 3"}),
    (check_final, {"oxidbm/dbm.py": "LIMIT = 3"}),
    (check_handlers, {FRAMES: TWO_HANDLERS.format("OSError", "other")}),
    (check_pops, {FRAMES: POP + "    views[last] = b''\n    views, _ = pop(views)"}),
    (check_pops, {FRAMES: POP + "    if last > 0:\n        views[last] = EMPTY\n        views, _ = pop(views)"}),
    (check_pops, {FRAMES: SELF_POP.format("i64", "i64") + "        self.words, _ = pop(self.words)"}),
    (
        check_pops,
        {
            FRAMES: SELF_POP.format("i64", "i64") + "        self.words, _ = pop(self.words)",
            "oxidbm/_core/log/tables.py": "class C:\n    def f(self):\n        self.words: vec[bytes] = g()",
        },
    ),
    (check_pops, {FRAMES: POP + "    free = vec[i64]()\n    free, _ = pop(free)"}),
    (check_pops, {FRAMES: "def f(cache):\n    return cache.pop()"}),
    (check_pops, {FRAMES: "from oxidbm._core.store.session import pop\ndef f(views):\n    return pop(views)"}),
    (check_letters, {FRAMES: "K = TypeVar('K')\ndef f(i):\n" + DOZEN[len("    pass\n") * 2 :] + "    return i"}),
    (check_letters, {FRAMES: "def f(x):\n    return x.e\ndef g(k):\n" + DOZEN + "def h(k):\n    return k"}),
    (check_letters, {FRAMES: "def f(key):\n    _ = key\n" + DOZEN + "    _ = key"}),
    (check_letters, {"bench/loops.py": "def f(n):\n" + DOZEN + "    return n"}),
]
