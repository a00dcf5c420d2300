"""What finish_c.py makes of mypyc's C: tables with documentation, and structs that can be referred to weakly."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.compiled_only("what is compiled is made before there is a mode")

FINISH: dict[str, Any] = runpy.run_path(str(ROOT / "finish_c.py"))
HEADER = """typedef struct {
    PyObject_HEAD
    CPyVTableItem *vtable;
    PyObject *_life;
} base___StoreBaseObject;

typedef struct {
    PyObject_HEAD
    CPyVTableItem *vtable;
    PyObject *_life;
    char _typed;
} store___StoreObject;

typedef struct {
    PyObject_HEAD
    CPyVTableItem *vtable;
    PyObject *_other;
} other___OtherObject;
"""
CODE = r"""static PyGetSetDef base___StoreBase_getseters[] = {
    {"life",
     (getter)base___StoreBase_get_life, (setter)base___StoreBase_set_life,
     NULL, NULL},
    {"path",
     (getter)base___StoreBase_get_path,
    NULL, NULL, NULL},
    {NULL}  /* Sentinel */
};

static PyMethodDef base___StoreBase_methods[] = {
    {"close",
     (PyCFunction)CPyPy_base___StoreBase___close,
     METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("close($self, /)\n--\n\n")},
    {"pop",
     (PyCFunction)CPyPy_base___StoreBase___pop,
     METH_FASTCALL | METH_KEYWORDS, PyDoc_STR(NULL)},
    {NULL}  /* Sentinel */
};
.tp_basicsize = sizeof(base___StoreBaseObject),
base___StoreBase_dealloc(base___StoreBaseObject *self)
{
if (failed) {
}
PyObject_GC_UnTrack(self);
}

.tp_basicsize = sizeof(other___OtherObject),
"""
STUB = '''
class Store:
    @property
    def path(self) -> str:
        """Where "it" is, in a \\\\ or in none: ä."""

    @overload
    def pop(self, key: object) -> object: ...
    @overload
    def pop(self, key: object, default: object) -> object:
        """Remove.

        All of it.
        """
'''
SOURCE = '''
class StoreBase:
    def close(self) -> None:
        """Close it."""

    def pop(self, key: object, default: object = NOTHING, *, more: int = 1) -> object:
        """Not this one."""
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one class, and the C that was made of it."""
    package = tmp_path / "oxidbm"
    (package / "_core").mkdir(parents=True)
    (package / "_documentation.py").write_bytes((ROOT / "oxidbm" / "_documentation.py").read_bytes())
    (package / "__init__.pyi").write_text(STUB, encoding="utf-8")
    (package / "_core" / "base.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "__native.c").write_text(CODE, encoding="utf-8")
    (tmp_path / "__native.h").write_text(HEADER, encoding="utf-8")
    return package


def finished(package: Path) -> str:
    """Return the finished C file."""
    source = package.parent / "__native.c"
    made: Path = FINISH["finish"](source, package)
    assert source.read_text(encoding="utf-8") == CODE, "mypyc's own stays as it is"
    return made.read_text(encoding="utf-8")


def test_methods_and_fields_say_what_they_do(package: Path) -> None:
    code = finished(package)
    assert r'PyDoc_STR("close($self, /)\n--\n\n" "Close it.")},' in code
    assert r'PyDoc_STR("pop($self, key, default=..., *, more=1)\n--\n\n" "Remove.\n\nAll of it.")},' in code
    assert r'NULL, "Where \"it\" is, in a \\ or in none: \303\244.", NULL},' in code
    assert "set_life,\nNULL, NULL},\n" in code, "nobody has said what it is"


def test_weak_references_come_to_a_class_and_its_subclasses(package: Path) -> None:
    code = finished(package)
    assert code.count("offsetof(base___StoreBaseObject, weak_references)") == 1
    assert "OtherObject, weak" not in code
    clear = "if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);\nPyObject_GC_UnTrack(self);"
    assert code.count(clear) == 1
    header = (package.parent / "finished" / "__native.h").read_text(encoding="utf-8")
    structs = header.split("typedef struct")[1:]
    assert ["*vtable;\nPyObject *weak_references;\nPyObject *_life;" in one for one in structs] == [True, True, False]


def test_a_class_that_would_not_let_go_of_them_is_not_built(package: Path) -> None:
    source = package.parent / "__native.c"
    source.write_text(CODE.replace("_dealloc(", "_end("), encoding="utf-8")
    with pytest.raises(SystemExit, match="1 types have weak references and 0 let go of them"):
        FINISH["finish"](source, package)


def test_what_has_not_changed_is_not_written_anew(package: Path) -> None:
    finished(package)
    made = package.parent / "finished" / "__native.c"
    before = made.stat().st_mtime_ns
    finished(package)
    assert made.stat().st_mtime_ns == before
