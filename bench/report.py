"""Results as text tables, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.engines import ENGINES
from bench.measures import Figure
from bench.rounds import Result

FORMAT = 1
ENGINES_PER_TABLE = 5
Rows = list[list[str]]
Report = dict[str, Any]


def result_entry(result: Result, base: Result | None) -> Report:
    """One result as JSON has it; `ratio` is this engine's time over the base engine's."""
    case = result.case
    return {
        "workload": result.workload,
        "engine": result.engine,
        "num": case.num,
        "key_size": case.key_size,
        "value_size": case.value_size,
        "distribution": case.distribution,
        "operations": [sample.operations for sample in result.samples],
        "rounds_ns": [round(figure, 2) for figure in result.rounds_ns],
        "median_ns": round(result.median_ns, 2),
        "ratio": round(result.median_ns / base.median_ns, 3) if base is not None else None,
        "note": result.note,
    }


def result_entries(results: Sequence[Result], base_engine: str) -> list[Report]:
    """All results, each with its ratio to the base engine in the same case."""
    base = {(one.workload, one.case): one for one in results if one.engine == base_engine}
    return [result_entry(result, base.get((result.workload, result.case))) for result in results]


def figure_entry(figure: Figure, smoke: bool) -> Report:
    """One figure as JSON has it; tiny sizes say nothing about a bound."""
    return {
        "measure": figure.measure,
        "name": figure.name,
        "measured": None if figure.measured is None else round(figure.measured, 4),
        "unit": figure.unit,
        "asked": figure.asked,
        "bound": None if figure.asked is None else "at most" if figure.at_most else "at least",
        "met": None if smoke else figure.met,
        "note": figure.note,
    }


def engine_entries(chosen: Sequence[str]) -> dict[str, Report]:
    """What each engine is, and whether it was there."""
    return {
        name: {
            "installed": engine.available(),
            "version": engine.version() if engine.available() else None,
            "chosen": name in chosen,
            "note": engine.note,
        }
        for name, engine in ENGINES.items()
    }


def write_json(report: Report, path: Path) -> None:
    """Write the report."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def result_rows(report: Report) -> list[tuple[list[str], Rows]]:
    """Tables of workloads by engines: header and rows each. A cell is ns/op and, in brackets, the ratio to the base."""
    entries: list[Report] = report["results"]
    base = report["settings"]["base"]
    names = list(dict.fromkeys(entry["engine"] for entry in entries))
    peers = [name for name in names if name != base]
    cells: dict[tuple[str, int, int], dict[str, str]] = {}
    for entry in entries:
        text = nanoseconds(entry["median_ns"])
        if entry["ratio"] is not None and entry["engine"] != base:
            text += f" ({times(entry['ratio'])})"
        key = (entry["workload"], entry["value_size"], entry["num"])
        cells.setdefault(key, {})[entry["engine"]] = text
    groups = [peers[start : start + ENGINES_PER_TABLE] for start in range(0, len(peers), ENGINES_PER_TABLE)] or [[]]
    tables = []
    for group in groups:
        columns = [name for name in names if name == base or name in group]
        header = ["workload", "value", "records", *columns]
        rows = [
            [workload, size_text(value_size), f"{num:,}", *(found.get(column, "-") for column in columns)]
            for (workload, value_size, num), found in cells.items()
            if any(column in found for column in columns)
        ]
        tables.append((header, rows))
    return tables


def figure_rows(report: Report) -> tuple[list[str], Rows]:
    """The measured figures beside the asked ones."""
    header = ["measure", "figure", "measured", "asked", "met"]
    rows = []
    for entry in report["figures"]:
        asked = f"{entry['bound']} {number(entry['asked'])}" if entry["asked"] is not None else ""
        measured = f"{number(entry['measured'])} {entry['unit']}" if entry["measured"] is not None else "not measured"
        met = {True: "yes", False: "NO", None: ""}[entry["met"]]
        rows.append([entry["measure"], entry["name"], measured, asked, met])
    return header, rows


def notes(report: Report) -> list[str]:
    """What the tables cannot say in their cells."""
    empty = ", ".join(f"{shape} {figure:.1f}" for shape, figure in report["empty_loop_ns"].items())
    base = report["settings"]["base"]
    lines = [
        f"ns an operation, median of the rounds; in brackets as a multiple of {base}'s (above 1: {base} is faster).",
        f"Nothing is subtracted. Loops around an empty statement, ns an iteration: {empty}.",
    ]
    seen: dict[tuple[str, str], list[str]] = {}
    for entry in report["results"]:
        if entry["note"]:
            names = seen.setdefault((entry["workload"].split()[0], entry["note"]), [])
            if entry["engine"] not in names:
                names.append(entry["engine"])
    lines += [f"{workload} is {note}: {', '.join(names)}." for (workload, note), names in seen.items()]
    used = {entry["engine"] for entry in report["results"]}
    for name, engine in report["engines"].items():
        if engine["installed"] and (engine["chosen"] or name in used):
            lines.append(f"{name} {engine['version']}" + (f": {engine['note']}." if engine["note"] else "."))
    missing = [name for name, engine in report["engines"].items() if engine["chosen"] and not engine["installed"]]
    if missing:
        lines.append(f"Not installed: {', '.join(missing)}.")
    lines += [f"{entry['measure']}, {entry['name']}: {entry['note']}." for entry in report["figures"] if entry["note"]]
    return lines


def text_report(report: Report) -> str:
    """Everything, as plain text."""
    parts = []
    if report["results"]:
        parts += [plain_table(header, rows) for header, rows in result_rows(report)]
    if report["figures"]:
        parts.append(plain_table(*figure_rows(report)))
    parts.append("\n".join(notes(report)))
    return "\n\n".join(parts)


def markdown_report(report: Report) -> str:
    """Everything, as Markdown for the documentation."""
    machine = report["machine"]
    memory = f"{machine['memory_mib'] / 1024:.0f} GiB"
    parts = [
        f"{machine['processor']}, {machine['cores']} cores, {memory}, {machine['system']}, {machine['python']}.",
        f"    {report['command']}",
    ]
    tables = result_rows(report) if report["results"] else []
    if report["figures"]:
        tables.append(figure_rows(report))
    for header, rows in tables:
        lines = ["| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows]]
        parts.append("\n".join(lines))
    parts.append("\n".join(f"- {note}" for note in notes(report)))
    return "\n\n".join(parts)


def print_report(report: Report) -> None:
    """To the terminal: by rich where it is installed, otherwise plainly."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(text_report(report))
        return
    console = Console()
    if not console.is_terminal:
        print(text_report(report))
        return
    tables = result_rows(report) if report["results"] else []
    if report["figures"]:
        tables.append(figure_rows(report))
    for header, rows in tables:
        table = Table()
        for place, title in enumerate(header):
            table.add_column(title, justify="left" if place == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print("\n".join(notes(report)), markup=False, highlight=False)


def plain_table(header: list[str], rows: Rows) -> str:
    """Columns padded to their widest cell; numbers to the right."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    left = {place for place, title in enumerate(header) if title in ("workload", "measure", "figure", "asked", "met")}
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def nanoseconds(figure: float) -> str:
    """Three digits are enough."""
    return f"{figure:.1f}" if figure < 100 else f"{figure:,.0f}"


def times(ratio: float) -> str:
    """A ratio, with as many digits as mean something."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def number(figure: float) -> str:
    """A measured number of any size."""
    if abs(figure) >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.3g}" if abs(figure) < 100 else f"{figure:.0f}"


def size_text(size: int) -> str:
    """A value size in bytes or KiB."""
    return f"{size // 1024} KiB" if size >= 1024 and size % 1024 == 0 else f"{size} B"
