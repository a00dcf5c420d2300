"""Results as text tables, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.engines import ENGINES
from bench.measures import Figure
from bench.rounds import Result

FORMAT = 2
ENGINES_PER_TABLE = 5
TEXT_COLUMNS = ("unit", "version", "opened by", "interpreter")
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


def figure_entry(figure: Figure) -> Report:
    """One figure as JSON has it."""
    return {
        "measure": figure.measure,
        "name": figure.name,
        "subject": figure.subject,
        "measured": None if figure.measured is None else round(figure.measured, 4),
        "unit": figure.unit,
        "note": figure.note,
    }


def engine_entries(chosen: Sequence[str]) -> dict[str, Report]:
    """What each engine is, and whether it was there."""
    return {
        name: {
            "installed": engine.available(),
            "version": engine.version() if engine.available() else None,
            "chosen": name in chosen,
            "settings": engine.settings(),
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
    for place, group in enumerate(groups):
        columns = [name for name in names if name == base or name in group]
        header = ["workload", "value", "records", *columns]
        rows = [
            [workload, size_text(value_size), f"{num:,}", *(found.get(column, "-") for column in columns)]
            for (workload, value_size, num), found in cells.items()
            # A row stands where its peers are, in the first table if it has none.
            if found.keys() & set(group) or (place == 0 and not found.keys() & set(peers))
        ]
        tables.append((header, rows))
    return tables


def figure_tables(report: Report) -> list[tuple[list[str], Rows]]:
    """Tables of figures by what was measured, one for each measure: header and rows each."""
    tables = []
    for measure in dict.fromkeys(entry["measure"] for entry in report["figures"]):
        entries = [entry for entry in report["figures"] if entry["measure"] == measure]
        subjects = list(dict.fromkeys(entry["subject"] for entry in entries))
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for entry in entries:
            text = "not measured" if entry["measured"] is None else number(entry["measured"])
            cells.setdefault((entry["name"], entry["unit"]), {})[entry["subject"]] = text
        rows = [
            [name, unit, *(found.get(subject, "-") for subject in subjects)] for (name, unit), found in cells.items()
        ]
        tables.append(([measure, "unit", *subjects], rows))
    return tables


def tables_of(report: Report) -> list[tuple[list[str], Rows]]:
    """All tables of a report."""
    return [*(result_rows(report) if report["results"] else []), *figure_tables(report)]


def notes(report: Report) -> list[str]:
    """What the tables cannot say in their cells."""
    empty = ", ".join(f"{shape} {figure:.1f}" for shape, figure in report["empty_loop_ns"].items())
    base = report["settings"]["base"]
    lines = [
        f"ns an operation, median of the rounds; in brackets as a multiple of {base}'s (above 1: {base} is faster).",
        f"Nothing is subtracted. Loops around an empty statement, ns an iteration: {empty}.",
        *notes_of_entries(report),
    ]
    used = {entry["engine"] for entry in report["results"]} | {entry["subject"] for entry in report["figures"]}
    for name, engine in report["engines"].items():
        if engine["installed"] and (engine["chosen"] or name in used):
            lines.append(f"{name} {engine['version']}, {engine['settings']}.")
    missing = [name for name, engine in report["engines"].items() if engine["chosen"] and not engine["installed"]]
    if missing:
        lines.append(f"Not installed: {', '.join(missing)}.")
    return lines


def notes_of_entries(report: Report) -> list[str]:
    """What must be known about single results and figures."""
    seen: dict[tuple[str, str], list[str]] = {}
    for entry in report["results"]:
        if entry["note"]:
            names = seen.setdefault((entry["workload"].split()[0].rstrip(","), entry["note"]), [])
            if entry["engine"] not in names:
                names.append(entry["engine"])
    lines = [f"{workload} is {note}: {', '.join(names)}." for (workload, note), names in seen.items()]
    told = dict.fromkeys((entry["measure"], entry["note"]) for entry in report["figures"] if entry["note"])
    return lines + [f"{measure}: {note}." for measure, note in told]


def text_report(report: Report) -> str:
    """Everything, as plain text."""
    parts = [plain_table(header, rows) for header, rows in tables_of(report)]
    parts.append("\n".join(notes(report)))
    return "\n\n".join(parts)


def markdown_report(report: Report) -> str:
    """Everything, as Markdown."""
    parts = [f"{machine_words(report)}.", f"    {report['command']}"]
    parts += [markdown_table(header, rows) for header, rows in tables_of(report)]
    parts.append("\n".join(f"- {note}" for note in notes(report)))
    return "\n\n".join(parts)


def machine_words(report: Report) -> str:
    """What it was measured on."""
    machine = report["machine"]
    memory = f"{machine['memory_mib'] / 1024:.0f} GiB"
    return f"{machine['processor']}, {machine['cores']} cores, {memory}, {machine['system']}, {machine['python']}"


def markdown_table(header: list[str], rows: Rows) -> str:
    """A table; numbers to the right."""
    rules = ["---" if title in TEXT_COLUMNS or place == 0 else "---:" for place, title in enumerate(header)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rules, *rows])


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
    for header, rows in tables_of(report):
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
    left = {place for place, title in enumerate(header) if title in TEXT_COLUMNS or place == 0}
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
    if ratio < 0.005:
        return "<0.01x"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def number(figure: float) -> str:
    """A measured number of any size."""
    if abs(figure) >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.3g}" if abs(figure) < 100 else f"{figure:.0f}"


def size_text(size: int) -> str:
    """A value size in bytes or KiB."""
    return f"{size // 1024} KiB" if size >= 1024 and size % 1024 == 0 else f"{size} B"
