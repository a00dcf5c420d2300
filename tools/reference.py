"""The reference: pages of docs/reference/ whose marks are replaced by what the stub says, as Markdown.

    <!-- reference oxidbm.Store -->                              a class with all of its public members
    <!-- reference oxidbm.testing.FaultyDevice: fail slow -->    with those alone, and with its constructor if
                                                                 __init__ is one of them

Documentation is Markdown but for lists of arguments, `name: text`, which become lists here. A name in backticks that
the reference has is a link to it, and so is the path of a page of docs/. tools/site.py puts the site's pages together.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace

from tools.declarations import Declared, declared

MARK = re.compile(r"^<!-- reference ([\w.]+)(?::((?: \w+)+))? -->$", re.MULTILINE)
ITEM = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
NAMED = re.compile(r"`([A-Za-z_][\w.]*)(?:\(\))?`|\b([A-Z]\w+(?:Error|Warning))\b")  # errors need no backticks
PAGE_NAME = re.compile(r"\bdocs/([\w/-]+\.md)\b")
Pages = dict[str, str]


@dataclass(frozen=True)
class Shown:
    """What a mark asks for."""

    name: str
    found: Declared
    page: str


class Reference:
    """Everything that the marks of all pages show, and where it stands."""

    def __init__(self, pages: Pages) -> None:
        self.shown: list[Shown] = []
        self.places: dict[str, str] = {}  # a dotted name to the page that has it
        for page, text in pages.items():
            for mark in MARK.finditer(text):
                self.add(page, mark[1], (mark[2] or "").split())

    def add(self, page: str, name: str, members: list[str]) -> None:
        """Note what one mark shows."""
        module, _, last = name.rpartition(".")
        found = declared(module, last)
        if members:
            signature = found.signature if "__init__" in members else found.plain
            chosen = [member for member in found.members if member.name in members]
            if missing := {*members} - {"__init__", *(member.name for member in chosen)}:
                raise ValueError(f"{page} asks for {', '.join(sorted(missing))} of {name}, which is not there")
            found = replace(found, signature=signature, members=chosen)
        self.shown.append(Shown(name, found, page))
        for place in [name, *(f"{name}.{member.name}" for member in found.members)]:
            if place in self.places:
                raise ValueError(f"{place} is shown by {self.places[place]} and again by {page}")
            self.places[place] = page

    def filled(self, page: str, text: str) -> str:
        """Return a page with its marks replaced."""
        waiting = {shown.name: shown for shown in self.shown if shown.page == page}
        return MARK.sub(lambda mark: self.section(waiting[mark[1]]), text)

    def section(self, shown: Shown) -> str:
        """Return the Markdown of a class, a function or a constant."""
        name, found = shown.name, shown.found
        module = name.rpartition(".")[0]
        parts = [f"## {found.name} {{ #{anchor(name)} }}", fenced(f"{module}.", found)]
        parts.append(self.said(found, name, shown.page))
        for member in found.members:
            parts.append(f"### {heading(member)} {{ #{anchor(f'{name}.{member.name}')} }}")
            parts.append(fenced("", member))
            parts.append(self.said(member, name, shown.page))
        return "\n\n".join(part for part in parts if part)

    def said(self, found: Declared, owner: str, page: str) -> str:
        """Return documentation as Markdown, with links."""
        known = {*found.parameters, *(f"*{name}" for name in found.parameters)}
        lines = listed(found.documentation.splitlines(), known)
        return "\n".join(line if is_code(line) else self.linked(escaped(line), known, owner, page) for line in lines)

    def linked(self, line: str, known: set[str], owner: str, page: str) -> str:
        """Return a line whose names are links to where they are described, but for its own arguments."""

        def link(named: re.Match[str]) -> str:
            name = named[1] or named[2]
            for place in (name, f"oxidbm.{name}", f"{owner}.{name}", f"{owner.rpartition('.')[0]}.{name}"):
                if place in self.places and place != owner and name not in known:
                    return f"[{named[0]}]({relative(self.places[place], page)}#{anchor(place)})"
            return named[0]

        line = NAMED.sub(link, line)
        return PAGE_NAME.sub(lambda found: f"[{found[1]}]({relative(found[1], page)})", line)


def anchor(name: str) -> str:
    """Return where a name's heading is: Markdown would take two underscores on each side for emphasis."""
    return name.replace(".__", ".").rstrip("_")


def heading(member: Declared) -> str:
    """Return a member's name as a heading has it; what Python calls by itself as code, for its underscores."""
    return f"`{member.name}`" if member.name.startswith("__") else escaped(member.name)


def fenced(prefix: str, found: Declared) -> str:
    """Return a signature as a block of code."""
    words = found.signature
    for word in ("class ", "async "):
        if words.startswith(word):
            return f"```python\n{word}{prefix}{words.removeprefix(word)}\n```"
    return f"```python\n{prefix}{words}\n```"


def is_code(line: str) -> bool:
    """Return whether a line of documentation belongs to an indented block of code."""
    return line.startswith("    ") and not line.startswith("    - ")


def listed(lines: list[str], known: set[str]) -> list[str]:
    """Return lines in which `name: text` and what follows it are items of a list, for arguments and fields."""
    out: list[str] = []
    in_item = False
    for line in lines:
        item = ITEM.fullmatch(line)
        if item is not None and known.issuperset(item[1].split(", ")):
            if not in_item and out and out[-1]:
                out.append("")
            names = ", ".join(f"`{name}`" for name in item[1].split(", "))
            out.append(f"- {names}: {item[2]}")
            in_item = True
        elif in_item and line.strip():
            out.append(f"  {line.strip()}")
        else:
            in_item = False
            out.append(line)
    return out


def escaped(line: str) -> str:
    """Return a line in which nothing outside of backticks is Markdown or HTML."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if place % 2 else escaped_words(part) for place, part in enumerate(parts))


def escaped_words(words: str) -> str:
    """Return words with `*`, `_` and `<` as they are."""
    return re.sub(r"([*_])", r"\\\1", words).replace("<", "&lt;")


def relative(target: str, page: str) -> str:
    """Return the link from one page to another, both below docs/."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".") if target != page else ""
