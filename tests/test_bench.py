"""Every workload and measure runs at a tiny size with every engine that is installed. Nothing here looks at times."""

import gc
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import instructions, report
from bench.chart import COLOURS
from bench.command import ALL_WORKLOADS, GROUPS, listing, main, select_names
from bench.engines import ENGINES, Engine, select_engines
from bench.loops import EMPTY_SHAPES, LoopInput, build
from bench.measures import MEASURES
from bench.measures.files import WithoutCompaction
from bench.measures.growth import latency_at
from bench.page import (
    BLOCKS,
    CHART_ENGINES,
    CHART_ROWS,
    CHARTS,
    MARKED,
    PAGES,
    TOPICS,
    chart,
    filled,
    part_of,
    record,
    recordings,
    trimmed,
)
from bench.records import ValuePool, ordered_keys, random_keys, zipfian
from bench.rounds import Case, Sample, Stage, run_case
from bench.svg import drawn, step_of

pytestmark = [
    pytest.mark.filterwarnings("default"),  # peers are other people's code: their warnings are not ours to fix
    pytest.mark.compiled_only("what is measured is the compiled core"),
]

INSTALLED = [engine for engine in ENGINES.values() if engine.available()]
NUM = 40


@pytest.fixture(autouse=True, scope="module")
def frozen() -> None:
    """A round begins with a collection, which has not to look through all that other tests have left each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=INSTALLED, ids=lambda engine: engine.name)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """One installed engine, empty and open."""
    made = Stage(request.param(tmp_path / "engine"), Case(NUM), ValuePool(100))
    made.engine.recreate()
    yield made
    made.engine.close()


def run(stage: Stage, shape: str, statement: str, **inputs: object) -> LoopInput:
    """Run one generated loop against the stage's engine."""
    given = stage.given(**inputs)
    build(shape, statement)(given)
    return given


def read_back(engine: Engine, stage: Stage, numbers: range) -> list[object]:
    """What the engine's get statement gives for each key."""
    statement = f"add({engine.get})"
    given = run(stage, "keys", statement, keys=stage.key_list(numbers))
    return list(given.latencies)


def test_statements_do_what_they_are_timed_for(stage: Stage) -> None:
    engine, numbers = stage.engine, range(NUM)
    stage.load_all()
    assert engine.count() == NUM
    assert read_back(engine, stage, numbers) == stage.values(numbers)

    fresh = stage.values(range(NUM, 2 * NUM))
    run(stage, "pairs", engine.set, keys=stage.key_list(numbers), values=fresh)
    assert read_back(engine, stage, numbers) == fresh

    engine.begin_session()
    run(stage, "keys", engine.rmw, keys=stage.key_list(numbers), f=engine.change)
    engine.end_session()
    assert read_back(engine, stage, numbers) == [engine.change(value) for value in fresh]

    run(stage, "keys", engine.missing, keys=stage.key_list(range(NUM, 2 * NUM)))
    run(stage, "keys", engine.delete, keys=stage.key_list(range(10)))
    assert engine.count() == NUM - 10


def test_batch_statements_write_and_read_all(stage: Stage) -> None:
    keys, values = stage.key_list(range(NUM)), stage.values(range(NUM))
    if stage.engine.set_many is None:
        stage.load_all()
    else:
        run(stage, "whole", stage.engine.set_many, keys=keys, pairs=list(zip(keys, values, strict=True)))
    assert read_back(stage.engine, stage, range(NUM)) == values
    if stage.engine.get_many is not None:
        run(stage, "whole", stage.engine.get_many, keys=keys)


def test_what_was_written_is_there_after_reopening(stage: Stage) -> None:
    if not stage.engine.persistent:
        pytest.skip("keeps nothing")
    stage.load_all()
    stage.engine.close()
    stage.engine.open()
    assert stage.engine.count() == NUM
    assert read_back(stage.engine, stage, range(NUM)) == stage.values(range(NUM))
    assert stage.engine.files_size() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_WORKLOADS)
def test_every_workload_runs_with_every_engine(name: str, tmp_path: Path) -> None:
    workload = ALL_WORKLOADS[name]()
    for value_size, rounds, distribution in [(8, 2, workload.distributions[0]), (65536, 1, workload.distributions[-1])]:
        case = Case(NUM, value_size=value_size, distribution=distribution, seconds=0.01)
        results = run_case(workload, case, INSTALLED, rounds, tmp_path)
        expected = [engine.name for engine in INSTALLED if workload.takes(engine)]
        assert "oxidbm-ordered" in expected
        assert [result.engine for result in results] == expected
        for result in results:
            assert len(result.samples) == rounds
            assert all(sample.operations > 0 and sample.elapsed_ns > 0 for sample in result.samples)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_runs(name: str, tmp_path: Path) -> None:
    if not ENGINES["oxidbm"].available():
        pytest.skip("oxidbm.Store is not there")
    output, work = tmp_path / "results.json", tmp_path / "work"
    work.mkdir()
    assert (
        main(
            [
                name,
                "--smoke",
                "--engines",
                "default,oxidbm.open,oxidbm-typed,oxidbm-int",
                "--memory",
                "8",
                "--json",
                str(output),
                "--dir",
                str(work),
            ]
        )
        == 0
    )
    written = json.loads(output.read_text())
    assert written["results"] or written["figures"]
    assert {figure["measure"] for figure in written["figures"]} <= {name}
    assert all(figure["measured"] is not None for figure in written["figures"])
    assert list(work.iterdir()) == []


@pytest.mark.slow
def test_json_has_what_a_reader_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "results.json"
    arguments = ["readrandom", "ycsb-a", "--engines", "dict,dbm.dumb", "--base", "dict", "--value-size", "8,100"]
    assert main([*arguments, "--smoke", "--rounds", "3", "--json", str(output), "--dir", str(tmp_path)]) == 0
    written = json.loads(output.read_text())
    assert written["format"] == report.FORMAT
    assert written["command"].startswith("python -m bench readrandom ycsb-a --engines dict,dbm.dumb")
    assert str(tmp_path) not in output.read_text()
    assert set(written["machine"]) == {"processor", "architecture", "cores", "memory_mib", "system", "python"}
    assert set(written["empty_loop_ns"]) == set(EMPTY_SHAPES)
    assert set(written["engines"]) == set(ENGINES)
    assert written["engines"]["dict"]["installed"] is True
    assert written["engines"]["dict"]["settings"] == ENGINES["dict"].settings()
    cases = Counter((entry["workload"], entry["value_size"], entry["engine"]) for entry in written["results"])
    workloads = ("readrandom", "ycsb-a uniform", "ycsb-a zipfian")
    assert cases == Counter((w, s, e) for w in workloads for s in (8, 100) for e in ("dict", "dbm.dumb"))
    for entry in written["results"]:
        assert len(entry["rounds_ns"]) == 3
        assert min(entry["rounds_ns"]) <= entry["median_ns"] <= max(entry["rounds_ns"])
        assert entry["ratio"] == 1 if entry["engine"] == "dict" else entry["ratio"] > 0
    assert "ycsb-a zipfian" in capsys.readouterr().out
    assert main(["table", str(output)]) == 0
    assert "| readrandom | 8 B |" in capsys.readouterr().out

    kept = tmp_path / "kept"
    kept.mkdir()
    record(written, "small", kept)
    recorded = recordings(kept)["small"]
    assert recorded == json.loads(json.dumps(trimmed(written)))
    assert recorded["command"].endswith("--smoke --rounds 3 --dir " + tmp_path.name)
    assert set(recorded["engines"]) == {"dict", "dbm.dumb"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_figures_that_were_recorded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert MARKED.search(text)
    assert filled(text, recordings()) == text, "write it again by `python -m bench page`"


@pytest.mark.parametrize("theme", CHARTS)
def test_the_chart_has_the_figures_that_were_recorded(theme: str) -> None:
    text = CHARTS[theme].read_text(encoding="utf-8")
    assert text == chart(recordings(), theme), "draw it again by `make chart`"
    drawing = ET.fromstring(text)
    words = ["".join(element.itertext()) for element in drawing]
    assert [word for word in words if word in CHART_ROWS.values()] == list(CHART_ROWS.values())
    assert len(CHART_ROWS) <= 5
    assert len(CHART_ENGINES) <= 4


def test_bars_of_the_chart_begin_at_zero_and_are_as_long_as_their_figures() -> None:
    drawing = ET.fromstring(drawn([("Read", {"oxidbm": 20.0, "a<b": 80.0})], "Time", ["note"], "dark"))
    bars = [element for element in drawing if element.tag.endswith("rect")]
    zero = next(element for element in drawing if element.text == "0")
    assert {float(bar.attrib["x"]) for bar in bars} == {float(zero.attrib["x"])}
    ours, other = (float(bar.attrib["width"]) for bar in bars)
    assert other == pytest.approx(4 * ours, abs=0.2)
    assert [element.text for element in drawing if element.text and "ns" in element.text] == ["20 ns", "80 ns"]
    assert "Read: oxidbm 20 ns, a<b 80 ns" in drawing.attrib["aria-label"]


@pytest.mark.parametrize(("largest", "step"), [(393, 100), (4621, 2000), (235, 100), (151, 50), (0.3, 0.1), (4, 1)])
def test_ticks_of_the_chart_are_round(largest: float, step: float) -> None:
    assert step_of(largest) == pytest.approx(step)


def test_the_page_leaves_out_nothing_that_was_recorded() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    assert Counter(MARKED.findall(text)) == Counter([*BLOCKS, *TOPICS])
    for name, recorded in recordings().items():
        parts = [part_of(recorded, topic) for topic in TOPICS.values() if topic.recording == name]
        for kind in ("results", "figures"):
            shown = [entry for part in parts for entry in part[kind]]
            assert sorted(map(str, shown)) == sorted(map(str, recorded[kind]))


def test_the_page_says_how_each_engine_is_opened() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    engines: list[type[Engine]] = [*ENGINES.values(), WithoutCompaction]
    for engine in engines:
        assert text.count(engine.settings()) == 1
    for recorded in recordings().values():
        for name, opened in recorded["engines"].items():
            assert opened["settings"] == ENGINES[name].settings(), "it was measured with other settings"


def test_an_unknown_block_is_refused() -> None:
    with pytest.raises(ValueError, match="no-such-block"):
        filled("<!-- figures no-such-block -->\n<!-- /figures -->", recordings())


def test_lmdb_is_opened_as_its_settings_say(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    engine: Any = ENGINES["lmdb"](tmp_path)
    engine.recreate()
    flags = engine.environment.flags()
    assert {name: flags[name] for name in engine.options} == engine.options
    engine.close()


def test_rocksdict_is_opened_as_its_settings_say(tmp_path: Path) -> None:
    pytest.importorskip("rocksdict")
    engine = ENGINES["rocksdict"](tmp_path)
    engine.recreate()
    engine.m[b"key"] = b"value"
    assert [path.stat().st_size for path in (tmp_path / "store").glob("*.log")] == [0]
    [options] = (tmp_path / "store").glob("OPTIONS-*")
    chosen = {line.strip() for line in options.read_text().splitlines()}
    assert chosen >= {f"write_buffer_size={64 << 20}", "compression=kSnappyCompression", "filter_policy=nullptr"}
    engine.close()


def test_chart_is_a_picture(tmp_path: Path) -> None:
    assert set(COLOURS) == set(ENGINES)
    pytest.importorskip("matplotlib")
    results, picture = tmp_path / "results.json", tmp_path / "chart.png"
    assert main(["readrandom", "--engines", "dict", "--smoke", "--json", str(results), "--dir", str(tmp_path)]) == 0
    assert main(["chart", str(results), str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-workload"]) == 2
    assert "no-such-workload" in capsys.readouterr().err
    assert main(["readrandom", "--engines", "no-such-engine"]) == 2
    assert "no-such-engine" in capsys.readouterr().err
    assert main(["readrandom", "--value-size", "big"]) == 2
    assert instructions.main(["no-such-operation"]) == 2


def test_listing_and_groups_name_everything() -> None:
    text = listing()
    for name in (*ALL_WORKLOADS, *MEASURES, *ENGINES):
        assert f"  {name} " in text
    assert select_names([], smoke=True) == list(GROUPS["all"])
    assert select_names(["ycsb,scan", "ycsb-a"], smoke=False) == [*GROUPS["ycsb"], "scan"]
    assert select_engines("all") == list(ENGINES.values())


@pytest.mark.parametrize("make", [random_keys, ordered_keys])
@pytest.mark.parametrize("size", [8, 16, 40])
def test_keys_are_distinct_and_of_the_size_asked(make: Callable[[range, int], list[bytes]], size: int) -> None:
    keys = make(range(10_000), size)
    assert len(set(keys)) == 10_000
    assert {len(key) for key in keys} == {size}


def test_ordered_keys_are_in_order() -> None:
    keys = ordered_keys(range(0, 5_000, 3), 16)
    assert keys == sorted(keys)


def test_zipfian_favours_few_keys_as_its_law_says() -> None:
    count, draws = 1000, 50_000
    seen = Counter(zipfian(count, draws, seed=1))
    assert set(seen) <= set(range(count))
    harmonic = math.fsum(rank**-0.99 for rank in range(1, count + 1))
    [(_, most)] = seen.most_common(1)
    assert most == pytest.approx(draws / harmonic, rel=0.1)


def test_slices_stop_when_the_time_is_used_up(tmp_path: Path) -> None:
    stage = Stage(ENGINES["dict"](tmp_path), Case(10_000, seconds=1e-6), ValuePool(8))
    assert stage.run_slices(10_000, lambda start, stop: 1000).operations < 10_000
    patient = Stage(ENGINES["dict"](tmp_path), Case(10_000, seconds=60), ValuePool(8))
    assert patient.run_slices(10_000, lambda start, stop: stop - start) == Sample(10_000, 10_000)


def test_latency_quantiles() -> None:
    latencies = Counter({10: 98, 20: 1, 500: 1})
    assert [latency_at(latencies, quantile) for quantile in (0.5, 0.98, 0.99, 1.0)] == [10, 10, 20, 500]


@pytest.mark.parametrize("name", instructions.OPERATIONS)
def test_every_operation_whose_instructions_are_counted_runs(name: str, tmp_path: Path) -> None:
    instructions.perform(name, str(tmp_path), instructions.Turns(few=5, many=10), 10)


def test_instructions_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: it counts the instructions")
    assert instructions.main(["get 100"], instructions.Turns(few=100, many=300)) == 0
    name, count = capsys.readouterr().out.rsplit(maxsplit=1)
    assert name == "get 100"
    assert 100 < float(count.replace(",", "")) < 100_000
