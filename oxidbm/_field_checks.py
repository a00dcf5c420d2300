"""What a value of a type is made of, checked before it is written: a field of a wrong type is found there.

`Checks.fits(kind)` is a function that is made of the type as source text, because it runs at each write: what it takes
is one comparison a field. It says yes only where each part is exactly of its type. Where it says no, `misfit` looks
again, slowly: a part may be of a subclass that is written as its base, an int in the place of a float or a bytearray in
that of bytes. It is right where it comes back equal.

deep: whether the items of lists, sets, dicts and tuples of any length are looked at too, which takes longer than
writing them; without, their own type is. Types that are not known here, such as Any, an abstract class or a type
variable, are not checked.
"""

import math
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin, is_typeddict

from oxidbm._codec_types import field_types, import_msgspec, taken_types, type_name

WRAPPERS: Final = ("Final", "Required", "NotRequired", "ReadOnly")
ITEMS: Final = (list, set, frozenset)
MISSING: Final = object()
SHOWN: Final = 80  # characters of a value in an error

Fits = Callable[[Any], bool]


def unwrapped(kind: Any) -> Any:
    """Return the type of a field without what says something of the field, as Final and NotRequired do."""
    while getattr(get_origin(kind), "_name", None) in WRAPPERS:  # which have no other name in Python 3.11
        kind = get_args(kind)[0]
    return kind


def plain(kind: Any) -> Any:
    """Return a type without what says nothing of its values' types: what is Annotated, a NewType's or an alias's."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


class Checks:
    """The checks of one codec's type. The functions that are made call each other by name, since types may nest."""

    def __init__(self, language: str, deep: bool) -> None:
        msgspec = import_msgspec()
        self.language = language
        self.module = getattr(msgspec, language)
        self.deep = deep
        self.names: dict[str, Any] = {}
        self.classes: dict[Any, str] = {}
        self.made: dict[Any, Fits | None] = {}
        self.readers: dict[Any, Callable[[bytes], Any]] = {}
        self.known: dict[Any, dict[str, Any] | None] = {}
        self.count = 0

    def fits(self, kind: Any) -> Fits | None:
        """Return the function that tells whether a value is exactly of a type; None where nothing is known of it."""
        key = self.key(kind)
        if key not in self.made:
            text = self.expression(kind, "value")
            self.made[key] = self.function(["return " + text]) if text else None
        return self.made[key]

    def key(self, kind: Any) -> Any:
        """Return what stands for a type in a dict: itself, or its number where what is added to it has no hash."""
        try:
            hash(kind)
        except TypeError:
            return self.named(kind)
        return kind

    def fields(self, kind: Any) -> dict[str, Any] | None:
        """Return the types of a class's fields by their names; None for another type."""
        key = self.key(kind)
        if key not in self.known:
            try:
                types = field_types(kind)
                self.known[key] = None if types is None else {name: unwrapped(of) for name, of in types.items()}
            except (NameError, TypeError, AttributeError):  # of what is in a function, or only a type checker imports
                self.known[key] = {}
        return self.known[key]

    def encoder(self, kind: Any, write: Callable[[Any], bytes], look_again: Callable[[Any], bytes]) -> Any:
        """Return a function that writes what is exactly of a type, and leaves the rest to `look_again`.

        It is one function with the checks in it, since a call costs more than the check of a field. None where nothing
        is known of the type.
        """
        again = f"return {self.named(look_again)}(value)"
        if self.fields(kind) is None or is_typeddict(get_origin(kind) or kind):
            text = self.expression(kind, "value")
            if not text:
                return None
            lines = [f"if not {text}: {again}"]
        else:
            lines = self.class_lines(kind, again)
        body = ["try:", *("    " + line for line in lines), f"except (AttributeError, RecursionError): {again}"]
        end = [f"try: return {self.named(write)}(value)", f"except OverflowError: {again}"]  # which says where
        return self.function([*body, *end], "encode")

    def function(self, lines: list[str], name: str = "fits") -> Fits:
        """Return the function of `value` that has these lines."""
        exec(f"def {name}(value):\n" + "\n".join("    " + line for line in lines), self.names)
        made: Fits = self.names[name]
        return made

    def named(self, thing: Any) -> str:
        """Return the name by which the functions know an object."""
        name = f"t{id(thing)}"  # the object is kept, so that no other has its number
        self.names[name] = thing
        return name

    def expression(self, kind: Any, value: str) -> str:
        """Return the condition that what the text `value` stands for is exactly of a type; "" where there is none."""
        kind = plain(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is None or kind is NoneType:
            return f"{value} is None"
        if origin is Union or origin is UnionType:
            texts = [self.expression(argument, value) for argument in arguments]
            return f"({' or '.join(texts)})" if all(texts) else ""
        if origin is Literal:
            kinds = " or ".join(sorted({f"type({value}) is {self.named(type(item))}" for item in arguments}))
            return f"(({kinds}) and {value} in {self.named(arguments)})"
        if is_typeddict(origin or kind):
            return self.of_dict(kind, value)
        if self.fields(kind) is not None:
            return f"{self.class_check(kind)}({value})"
        taken = taken_types(kind)
        if not taken or taken == (type,):
            return ""
        if float in taken:
            # JSON has no NaN and no infinity, which it would write as null
            finite = f" and {value} - {value} == 0" if self.language == "json" else ""
            return f"(type({value}) is float{finite} or type({value}) is int)"
        return f"(type({value}) is {self.named(taken[0])}{self.of_items(origin, arguments, value)})"

    def of_items(self, origin: Any, arguments: tuple[Any, ...], value: str) -> str:
        """Return the condition on what is in a container, with the `and` before it; "" where there is none."""
        if origin is tuple and arguments[-1:] != (...,):
            texts = [self.expression(argument, f"{value}[{i}]") for i, argument in enumerate(arguments)]
            return "".join(f" and {text}" for text in [f"len({value}) == {len(arguments)}", *texts] if text)
        if not self.deep or not arguments:
            return ""
        self.count += 1
        item = f"i{self.count}"
        if origin is dict:
            key, part = (
                self.expression(argument, item + letter) for argument, letter in zip(arguments, "kv", strict=True)
            )
            both = " and ".join(text for text in (key, part) if text)
            return f" and all({both} for {item}k, {item}v in {value}.items())" if both else ""
        if origin in ITEMS or origin is tuple:
            text = self.expression(arguments[0], item)
            return f" and all({text} for {item} in {value})" if text else ""
        return ""

    def of_dict(self, kind: Any, value: str) -> str:
        """Return the condition that something is of a TypedDict."""
        required: frozenset[str] = getattr(get_origin(kind) or kind, "__required_keys__", frozenset())
        text = f"type({value}) is dict"
        for name, field in (self.fields(kind) or {}).items():
            part = self.expression(field, f"{value}[{name!r}]") or "True"
            there = f"{name!r} in {value} and" if name in required else f"{name!r} not in {value} or"
            text += f" and ({there} {part})"
        return f"({text})"

    def class_check(self, kind: Any) -> str:
        """Return the name of the function that checks the instances of a class with fields."""
        key = self.key(kind)
        if key not in self.classes:
            name = self.classes[key] = f"c{len(self.classes)}"
            lines = ["    " + line for line in self.class_lines(kind, "return False")]
            self.function(["try:", *lines, "except AttributeError: return False", "return True"], name)
        return self.classes[key]

    def class_lines(self, kind: Any, otherwise: str) -> list[str]:
        """Return the lines that check an instance of a class with fields, and leave them by `otherwise`."""
        lines = [f"if type(value) is not {self.named(get_origin(kind) or kind)}: {otherwise}"]
        for field, of in (self.fields(kind) or {}).items():
            text = self.expression(of, f"value.{field}")
            if text.count(f"value.{field}") > 2:  # to look for it once more takes longer than to keep it
                lines.append(f"field = value.{field}")
                text = self.expression(of, "field")
            if text:
                lines.append(f"if not {text}: {otherwise}")
        return lines

    def misfit(self, kind: Any, value: Any, place: str = "") -> Exception | None:
        """Return the error for the part of a value that is not of its type; None where all come back equal.

        Its text goes on behind the codec's name.
        """
        fits = self.fits(kind)
        if fits is None or fits(value):
            return None
        looked = False
        for name, of, part in self.parts(kind, value):
            looked = True
            if part is MISSING:
                return TypeError(f"takes no {type_name(type(value))} without {(place + name).removeprefix('.')}")
            found = self.misfit(of, part, place + name)
            if found is not None:
                return found
        if (looked and not isinstance(value, tuple | dict)) or self.comes_back(kind, value):
            return None
        where = f" in {place.removeprefix('.')}" if place else ""
        if type(value) in own_types(kind):
            return ValueError(f"takes {shown(kind)}{where}, not {repr(value)[:SHOWN]}")
        return TypeError(f"takes {shown(kind)}{where}, not {type_name(type(value))}")

    def parts(self, kind: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
        """Yield the parts of a value that have types of their own: where each is, its type, and itself."""
        kind = plain(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Union or origin is UnionType:
            for argument in arguments:
                if type(value) is (get_origin(plain(argument)) or plain(argument)):
                    yield from self.parts(argument, value)
            return
        if type(value) is not (origin or kind) and not (is_typeddict(origin or kind) and type(value) is dict):
            return
        fields = self.fields(kind)
        if is_typeddict(origin or kind):
            for name, of in (fields or {}).items():
                if name in value:
                    yield f"[{name!r}]", of, value[name]
        elif fields is not None:
            for name, of in fields.items():
                yield f".{name}", of, getattr(value, name, MISSING)
        elif origin is tuple and arguments[-1:] != (...,):
            for i, (of, part) in enumerate(zip(arguments, value, strict=False)):
                yield f"[{i}]", of, part
        elif self.deep and origin is dict:
            for key, part in value.items():
                yield f" key {key!r}", arguments[0], key
                yield f"[{key!r}]", arguments[1], part
        elif self.deep and (origin in ITEMS or origin is tuple):
            for i, part in enumerate(value):
                yield f"[{i}]", arguments[0], part

    def comes_back(self, kind: Any, value: Any) -> bool:
        """Tell whether a value is written and read back as an equal one."""
        key = self.key(kind)
        if key not in self.readers:
            self.readers[key] = self.module.Decoder(kind).decode
        try:
            back = self.readers[key](self.module.encode(value))
        except (ValueError, TypeError, OverflowError, RecursionError, import_msgspec().MsgspecError):
            return False
        nan = isinstance(value, float) and math.isnan(value)
        return bool(back == value) or (nan and isinstance(back, float) and math.isnan(back))


def own_types(kind: Any) -> set[type]:
    """Return the types of the values that a type has, as far as that is known."""
    kind = plain(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union or origin is UnionType:
        return set().union(*map(own_types, arguments))
    if origin is Literal:
        return {type(item) for item in arguments}
    return {dict} if is_typeddict(origin or kind) else set(taken_types(kind))


def shown(kind: Any) -> str:
    """Return how a type is called in an error."""
    kind = plain(kind)
    try:
        return "float or int" if kind is float else type_name(kind)
    except TypeError:
        return str(kind)
