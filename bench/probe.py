"""What must run in a process of its own, because it measures one: `python -m bench.probe NAME '{"json": "arguments"}'`.

Each probe prints JSON objects, one a line. `run_probe` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns, sleep
from typing import Any

from bench.engines import ENGINES, Engine
from bench.machine import anonymous_memory
from bench.measures.cold import probe_cold
from bench.records import ValuePool, uniform
from bench.rounds import Case, Sample, Stage

PROJECT = Path(__file__).resolve().parent.parent
# Few records are held by the harness at a time: it measures the store's memory, not its own.
CHUNK = 2_000
Report = dict[str, Any]


def stage_of(arguments: Report) -> Stage:
    """An engine in a fresh directory; not opened."""
    engine = ENGINES[arguments["engine"]]
    directory = Path(arguments["directory"]) / engine.name
    directory.mkdir(parents=True)
    case = Case(arguments["num"], arguments["key_size"], arguments["value_size"])
    return Stage(engine(directory, arguments.get("memory") or case.memory), case, ValuePool(case.value_size))


def load_in_chunks(stage: Stage) -> None:
    """Write every record of the case."""
    for start in range(0, stage.case.num, CHUNK):
        part = range(start, min(start + CHUNK, stage.case.num))
        stage.engine.load(stage.key_list(part), stage.values(part))


def warm_up(engine: type[Engine], directory: Path) -> None:
    """Import the engine's module and use it once, so that its code is not counted as a store's memory."""
    directory.mkdir(parents=True)
    store = engine(directory)
    store.open()
    store.load(store.keys([b"0" * 16]), [b"value"])
    store.close()


def probe_memory(arguments: Report) -> Iterator[Report]:
    """Anonymous memory before and after filling a store."""
    stage = stage_of(arguments)
    warm_up(type(stage.engine), Path(arguments["directory"]) / "warm")
    # The harness's own working set, so that it is not counted either.
    part = range(min(CHUNK, stage.case.num))
    keys, values = stage.key_list(part), stage.values(part)
    del keys, values
    before = anonymous_memory()
    stage.engine.open()
    load_in_chunks(stage)
    anonymous = anonymous_memory() - before
    stage.engine.close()
    yield {"anonymous": anonymous, "files": stage.engine.files_size()}


def probe_empty(arguments: Report) -> Iterator[Report]:
    """Memory of an open empty store, and how long opening a new one takes: the first, then others."""
    engine = ENGINES[arguments["engine"]]
    top = Path(arguments["directory"])
    engine.available()
    warm_up(engine, top / "warm")
    opened = []
    for number in range(6):
        (top / str(number)).mkdir()
        store = engine(top / str(number))
        before = anonymous_memory()
        start = perf_counter_ns()
        store.open()
        elapsed = perf_counter_ns() - start
        opened.append(store)
        yield {"open_ns": elapsed, "anonymous": anonymous_memory() - before}
    for store in opened:
        store.close()


def probe_crash(arguments: Report) -> Iterator[Report]:
    """Fill, sync, and end the process without closing: the next open has to replay."""
    stage = stage_of(arguments)
    stage.engine.open()
    load_in_chunks(stage)
    stage.engine.m.sync()
    yield {"files": stage.engine.files_size()}
    os._exit(0)


def probe_larger(arguments: Report) -> Iterator[Report]:
    """Data larger than the budget: fill and read one engine, then read it and the others in turn."""
    first = stage_of(arguments)
    first.engine.open()
    load_in_chunks(first)
    random_gets(first, arguments["reads"], seed=0)
    yield {"phase": "alone", "files": first.engine.files_size()}
    stages = [first]
    for name in arguments["peers"]:
        stage = stage_of(arguments | {"engine": name})
        stage.engine.open()
        load_in_chunks(stage)
        # Reopened, so that nothing of the load is left in an open transaction.
        stage.engine.close()
        stage.engine.open()
        stages.append(stage)
    for stage in stages:
        random_gets(stage, arguments["reads"], seed=1)
    for number in range(arguments["rounds"]):
        for stage in stages:
            sample = random_gets(stage, arguments["reads"], seed=2 + number)
            yield {"engine": stage.engine.name, "get_ns": sample.elapsed_ns / sample.operations}
    for stage in stages:
        stage.engine.close()


def random_gets(stage: Stage, reads: int, seed: int) -> Sample:
    """Uniform random gets by new key objects."""
    loop = stage.loop("keys", stage.engine.get)
    numbers = uniform(stage.case.num, reads, seed)
    return stage.run_slices(reads, lambda start, stop: loop(stage.given(keys=stage.key_list(numbers[start:stop]))))


PROBES: dict[str, Callable[[Report], Iterator[Report]]] = {
    "memory": probe_memory,
    "empty": probe_empty,
    "crash": probe_crash,
    "larger": probe_larger,
    "cold": probe_cold,
}


def run_probe(name: str, arguments: Report, watch: Callable[[int], bool] | None = None) -> list[Report]:
    """Run a probe in a new interpreter and return what it printed.

    `watch(process)` is called about every 2 ms until it returns False or the process ends.
    """
    command = [sys.executable, "-m", "bench.probe", name, json.dumps(arguments)]
    path = os.pathsep.join(part for part in (str(PROJECT), os.environ.get("PYTHONPATH", "")) if part)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}) as process:
        if watch is not None:
            threading.Thread(target=_watch, args=(process, watch), daemon=True).start()
        assert process.stdout is not None
        reports = [json.loads(line) for line in process.stdout]
    if process.returncode:
        raise RuntimeError(f"the probe {name!r} ended with status {process.returncode}")
    return reports


def _watch(process: subprocess.Popen[str], watch: Callable[[int], bool]) -> None:
    while process.poll() is None and watch(process.pid):
        sleep(0.002)


def main(arguments: list[str]) -> None:
    """Run one probe, print its reports."""
    for report in PROBES[arguments[0]](json.loads(arguments[1])):
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
