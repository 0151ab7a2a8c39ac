"""How right "left 3m10s" is: the largest relative error of the time left, from the first tenth of a run on.

    python benchmarks/time_left.py RUN_DIR [RUN_DIR ...]

Each run's own `seconds_left`, out of its metrics.jsonl, against the time that it still took: until its last request was
answered. Then the same run is replayed, on a clock that jumps: records as long as its rows were, in another order, on
engines of several speeds and sizes, as no two runs on a busy machine take the same time. Of the last tenth seconds are
told, for of a second that is left nobody wants to know a quarter.
"""

import argparse
import heapq
import json
import random
from pathlib import Path

import numpy as np

from synth.report.run_data import Run
from synth.report.time_left import Left, StepTime, seconds_left
from synth.report.work import Work

RESULTS = Path(__file__).parent / "results" / "time_left.json"
WINDOW_S, LATELY_S = 30.0, 5.0


def measured(run: Run) -> dict:
    """A run's own lines, those of its last process."""
    lines = [snapshot for snapshot in run.snapshots if "seconds_left" in snapshot]
    lines = [line for line in lines if line["started"] == lines[-1]["started"] and line["replicas_ready"]]
    busy = [line for line in lines if line["running"]]
    begin, end = busy[0]["time"], max(one["time"] for one in busy)
    found = [(one["time"] - begin, one["seconds_left"], end - one["time"]) for one in busy]
    old = [
        (one["time"] - begin, (one["wanted"] - one["kept"]) / one["kept_per_second"], end - one["time"])
        for one in busy
        if one["kept_per_second"]
    ]
    return {"seconds": round(end - begin, 1), **errors(found), "by_kept_rows_alone": errors(old)}


def errors(found: list[tuple[float, float | None, float]]) -> dict:
    """Of (moment, told, true) in seconds."""
    whole = max(moment + true for moment, _, true in found)
    middle = [(told, true) for moment, told, true in found if moment >= whole / 10 and true >= whole / 10]
    last = [(told, true) for _, told, true in found if true < whole / 10 and told is not None]
    relative = [abs(told - true) / true for told, true in middle if told is not None]
    return {
        "largest_relative_error": round(max(relative), 3) if relative else None,
        "median_relative_error": round(float(np.median(relative)), 3) if relative else None,
        "untold": sum(told is None for told, _ in middle),
        "largest_error_at_the_end_s": round(max((abs(told - true) for told, true in last), default=0.0), 1),
    }


def lengths_of(run: Run) -> list[tuple[int, int]]:
    """Tokens and kept rows of each record."""
    records: dict[str, list[int]] = {}
    for split in ("kept", "rejected"):
        for batch in run.batches(split):
            for id, usage in zip(batch["id"].to_pylist(), batch["usage"].to_pylist(), strict=True):
                record = records.setdefault(id.partition("/")[0], [0, 0])
                record[0] += usage["completion_tokens"]
                record[1] += split == "kept"
    return [(max(1, tokens), kept) for tokens, kept in records.values()]


def replayed(records: list[tuple[int, int]], wanted: int, slots: int, fixed: float, seed: int) -> dict:
    """`slots` requests at once, a token of each every `fixed` + (1 - `fixed`) * running / slots ticks of 20 ms.

    Records begin until the yield so far promises enough rows, and the run ends with the lowest records that give them.
    """
    rng, longest = random.Random(seed), 2 * max(tokens for tokens, _ in records)
    running: list[tuple[float, int, int, int]] = []  # the step at which a record ends, its number, length and rows
    steps = now = tokens = 0.0
    kept, work, found, history, looked = 0, Work(), [], [(0.0, 0.0, 0)], 0.0
    begun, rows_of, step_time, stepped = 0, dict[int, int](), StepTime(), 0.0
    while True:
        chance = (kept + 1) / (sum(work.ended) + 1)
        while len(running) < slots and kept + chance * len(running) < wanted:
            length, rows = rng.choice(records)
            heapq.heappush(running, (steps + length, begun, length, rows))
            begun += 1
        if kept >= wanted:
            cut, so_far = -1, 0
            while so_far < wanted:
                cut += 1
                so_far += rows_of.get(cut, 0)
            running = [one for one in running if one[1] <= cut]
            heapq.heapify(running)
        if not running:
            break
        ahead = min(running[0][0] - steps, 25.0)
        seconds = ahead * 0.02 * (fixed + (1 - fixed) * len(running) / slots)
        steps, now, tokens = steps + ahead, now + seconds, tokens + ahead * len(running)
        while running and running[0][0] <= steps:
            _, number, length, rows = heapq.heappop(running)
            work.end(length, rows)
            kept += rows
            rows_of[number] = rows
        history.append((now, tokens, len(running)))
        if now - looked >= 0.5:
            looked = now
            window = [one for one in history if now - one[0] <= WINDOW_S]
            lately = [one for one in history if now - one[0] <= LATELY_S]
            work.count_running(length - (end - steps) for end, _, length, _ in running)
            rate = (window[-1][1] - window[0][1]) / max(1e-9, window[-1][0] - window[0][0])
            left = Left(max(0, wanted - kept), len(running), 1e9, longest)
            at_once = sum(one[2] for one in window) / len(window)
            if now - stepped >= LATELY_S and pace(lately):
                stepped = now
                step_time.add(sum(one[2] for one in lately) / len(lately), 1 / pace(lately))
            fixed_now = step_time.fixed(at_once)
            found.append((now, seconds_left(work, left, rate, at_once, pace(lately), fixed_now)))
    return errors([(moment, told, now - moment) for moment, told in found])


def pace(lately: list[tuple[float, float, int]]) -> float:
    """Tokens a second of each request."""
    (before, fewer, _), (now, more, _) = lately[0], lately[-1]
    return (more - fewer) / max(1e-9, now - before) / max(1e-9, sum(one[2] for one in lately) / len(lately))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN_DIR")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = {}
    for path in given.run_dirs:
        run = Run.open(path)
        records = lengths_of(run)
        result = {"model": run.model, "strategy": run.strategy, "records": len(records), "run": measured(run)}
        kept = sum(rows for _, rows in records) / len(records)
        for slots in (16, 64, 256):
            for generations in (4, 10, 40):
                wanted = max(1, round(slots * generations * kept))
                all_of_it = [
                    replayed(records, wanted, slots, fixed, seed) for fixed in (0.9, 0.5, 0.1) for seed in range(5)
                ]
                worst = [
                    one["largest_relative_error"] for one in all_of_it if one["largest_relative_error"] is not None
                ]
                ends = [one["largest_error_at_the_end_s"] for one in all_of_it]
                result[f"replayed, {slots} at once, {generations} times as many records"] = {
                    "largest_relative_error": max(worst),
                    "median_of_largest": round(float(np.median(worst)), 3),
                    "largest_error_at_the_end_s": max(ends),
                }
        results[path.name] = result
        print(json.dumps({path.name: result}, indent=1))
    given.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
