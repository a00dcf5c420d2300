"""A chart of results: bars by workload and engine, time an operation on a logarithmic scale, rows by value size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.engines.base import optional_module
from bench.report import size_text

# An engine looks the same in every chart; our own are the warm ones.
COLOURS = {
    "oxidbm": "#c8102e", "oxidbm-interval": "#e4572e", "oxidbm-memory": "#f28e2b", "oxidbm.open": "#f7b267",
    "oxidbm-typed": "#d4a017", "oxidbm-int": "#e9c46a", "oxidbm-ordered": "#8c2f39",
    "dict": "#2e4057", "lmdb": "#00798c", "rocksdict": "#6fb1c8", "plyvel": "#a9d6e5",
    "dbm.gnu": "#5b4b8a", "dbm.sqlite3": "#8a6fc4", "dbm.dumb": "#b7b5e4", "semidbm": "#3a5a40", "shelve": "#7fb069",
    "diskcache": "#8d96a3", "sqlitedict": "#c3c9d1",
}  # fmt: skip
OTHER_COLOUR = "#e0e0e0"
ROW_WORKLOADS = 6
LABELLED_ENGINES = 8
LEGEND_COLUMNS = 8
WIDTH = 11.0
Values = dict[str, dict[str, float]]


def draw_chart(results: Path, output: Path) -> None:
    """Read a JSON report and write a picture of it; needs matplotlib."""
    if optional_module("matplotlib") is None:
        raise RuntimeError("matplotlib is not installed: the chart cannot be drawn")
    matplotlib: Any = optional_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = optional_module("matplotlib.pyplot")

    report = json.loads(results.read_text(encoding="utf-8"))
    entries = [entry for entry in report["results"] if entry["workload"] != "open"]
    if not entries:
        raise ValueError(f"{results.name} holds no results of workloads: there is nothing to draw")
    engines = list(dict.fromkeys(entry["engine"] for entry in entries))
    rows = rows_of(entries)
    figure, axes = pyplot.subplots(len(rows), 1, figsize=(WIDTH, 1.0 + 3.0 * len(rows)), squeeze=False, sharey=True)
    figure.set_facecolor("white")
    for (title, values), row in zip(rows, axes, strict=True):
        draw_panel(row[0], values, engines)
        row[0].set_title(title, loc="left", fontsize=10)
    legend = {label: bars for row in axes for bars, label in zip(*row[0].get_legend_handles_labels(), strict=True)}
    figure.legend(
        legend.values(),
        legend,
        loc="upper center",
        ncols=min(len(legend), LEGEND_COLUMNS),
        frameon=False,
        fontsize=9,
    )
    machine = report["machine"]
    words = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}; medians"
    figure.text(0.99, 0.01, words, ha="right", fontsize=7, color="#666666")
    # The legend has a strip of its own, a fixed number of inches high.
    height = figure.get_size_inches()[1]
    legend_inches = 0.1 + 0.24 * -(-len(legend) // LEGEND_COLUMNS)
    figure.tight_layout(rect=(0, 0.15 / height, 1, 1 - legend_inches / height))
    figure.savefig(output, dpi=130)
    pyplot.close(figure)


def rows_of(entries: list[dict[str, Any]]) -> list[tuple[str, Values]]:
    """Title and bars of each row: a value size takes as many rows as its workloads need."""
    rows = []
    for size in dict.fromkeys(entry["value_size"] for entry in entries):
        values = list(panel_values(entries, size).items())
        count = -(-len(values) // ROW_WORKLOADS)
        each = -(-len(values) // count)
        for start in range(0, len(values), each):
            title = f"values of {size_text(size)}: nanoseconds an operation, less is better"
            rows.append((title, dict(values[start : start + each])))
    return rows


def panel_values(entries: list[dict[str, Any]], size: int) -> Values:
    """Median ns by workload and engine, for one value size; record counts are told apart where there are several."""
    chosen = [entry for entry in entries if entry["value_size"] == size]
    counts: dict[str, set[int]] = {}
    for entry in chosen:
        counts.setdefault(entry["workload"], set()).add(entry["num"])
    values: Values = {}
    for entry in chosen:
        label = entry["workload"].replace(" ", "\n")
        if len(counts[entry["workload"]]) > 1:
            label += f"\n{entry['num']:,}"
        values.setdefault(label, {})[entry["engine"]] = entry["median_ns"]
    return values


def draw_panel(axes: Any, values: Values, engines: list[str]) -> None:
    """The bars of one row; an engine that is missing from a workload leaves no gap there."""
    width = 0.84 / len(engines)
    for engine in engines:
        positions, heights = [], []
        for index, found in enumerate(values.values()):
            present = [name for name in engines if name in found]
            if engine in found:
                positions.append(index + (present.index(engine) - (len(present) - 1) / 2) * width)
                heights.append(found[engine])
        bars = axes.bar(positions, heights, width * 0.92, label=engine, color=COLOURS.get(engine, OTHER_COLOUR))
        if len(engines) <= LABELLED_ENGINES:
            axes.bar_label(bars, [label(height) for height in heights], padding=1, fontsize=6, color="#444444")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda height, _: duration(height))
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.08)
    axes.set_xticks(range(len(values)), list(values), fontsize=8)
    axes.set_xlim(-0.55, len(values) - 0.45)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def label(nanoseconds: float) -> str:
    """A bar's figure, in few characters."""
    if nanoseconds < 1000:
        return f"{nanoseconds:.0f}"
    return f"{nanoseconds / 1000:.1f}k" if nanoseconds < 10_000 else f"{nanoseconds / 1000:.0f}k"


def duration(nanoseconds: float) -> str:
    """A tick's label in the unit that fits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"
