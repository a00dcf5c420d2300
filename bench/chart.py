"""A chart of results: one panel a value size, bars by workload and engine, time an operation on a logarithmic scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.engines import ENGINES
from bench.engines.base import optional_module
from bench.report import size_text

# By the engines' order, so that an engine looks the same in every chart; our own are the warm ones.
COLOURS = (
    "#d1495b", "#f2a65a", "#f7d488", "#2e4057", "#00798c", "#6fb1c8", "#8a6fc4",
    "#b7b5e4", "#3a5a40", "#7fb069", "#c5dca0", "#8d96a3", "#5c4033", "#bfa58a",
)  # fmt: skip


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
    sizes = list(dict.fromkeys(entry["value_size"] for entry in entries))
    panels = {size: panel_values(entries, size) for size in sizes}
    widest = max(len(values) for values in panels.values())
    figure, axes = pyplot.subplots(
        len(sizes),
        1,
        figsize=(max(8.0, 0.16 * widest * (len(engines) + 1.5)), 3.6 * len(sizes)),
        squeeze=False,
        sharey=True,
    )
    for (size, values), row in zip(panels.items(), axes, strict=True):
        draw_panel(row[0], values, engines)
        row[0].set_title(f"values of {size_text(size)}", loc="left", fontsize=10)
    handles, labels = [], []
    for row in axes:
        for handle, label in zip(*row[0].get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    # The legend has a strip of its own, a fixed number of inches high.
    rows = -(-len(labels) // 7)
    figure.legend(handles, labels, loc="upper center", ncols=min(len(labels), 7), frameon=False, fontsize=9)
    height = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, 0, 1, 1 - (0.1 + 0.24 * rows) / height))
    figure.savefig(output, dpi=130)
    pyplot.close(figure)


def panel_values(entries: list[dict[str, Any]], size: int) -> dict[str, dict[str, float]]:
    """Median ns by workload and engine, for one value size; record counts are told apart where there are several."""
    chosen = [entry for entry in entries if entry["value_size"] == size]
    counts: dict[str, set[int]] = {}
    for entry in chosen:
        counts.setdefault(entry["workload"], set()).add(entry["num"])
    values: dict[str, dict[str, float]] = {}
    for entry in chosen:
        label = entry["workload"].replace(" ", "\n")
        if len(counts[entry["workload"]]) > 1:
            label += f"\n{entry['num']:,}"
        values.setdefault(label, {})[entry["engine"]] = entry["median_ns"]
    return values


def draw_panel(axes: Any, values: dict[str, dict[str, float]], engines: list[str]) -> None:
    """The bars of one value size."""
    width = 0.84 / len(engines)
    for place, engine in enumerate(engines):
        positions = [
            index + (place - (len(engines) - 1) / 2) * width
            for index, found in enumerate(values.values())
            if engine in found
        ]
        heights = [found[engine] for found in values.values() if engine in found]
        axes.bar(positions, heights, width * 0.92, label=engine, color=colour(engine))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda height, _: duration(height))
    axes.set_ylabel("time an operation, log scale")
    axes.set_xticks(range(len(values)), list(values), fontsize=8)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def colour(engine: str) -> str:
    """The engine's colour; grey for one that is no longer known."""
    return COLOURS[list(ENGINES).index(engine)] if engine in ENGINES else "#999999"


def duration(nanoseconds: float) -> str:
    """A tick's label in the unit that fits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"
