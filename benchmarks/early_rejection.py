"""What it saves to end a record where it is first known to be doomed: the same filters early, and at the chain's end.

    python benchmarks/early_rejection.py [--records 2000] [--doomed 0.4] [--json FILE]
    python benchmarks/early_rejection.py --real [--records 128] [--json FILE]

Magpie: draw an instruction, look at its length and whether a lower record had nearly the same, answer it, look at the
answer's length. Both chains have the same steps under the same names, and so the same seeds; the second has all its
filters behind the answer. One worker each on the simulated engine, in this process, answers ten times as long as
instructions at the median. The bounds of the lengths are read off a chain without filters: eight in ten of the share
`doomed` are for their instruction, one is for its answer, and near duplicates come on top. Exits with 1 if a row of the
two datasets differs, or if early filters save less than 30 % of the tokens.

With --real: `magpie_filtered` on SmolLM2-135M-Instruct (real_model.py) in vLLM, as it is shipped, and with answers that
run to their end: nothing looks for loops, and no filter sees a beginning. One engine for both, one after the other.
Exits with 1 if a row that both keep differs, or if a kept row takes more than half the tokens.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from hydra import compose, initialize_config_dir
from machine import processor
from real_model import real_model

from synth.configuration.config import Config
from synth.configuration.config_groups import CONF_DIR
from synth.configuration.parsing import parse
from synth.engines import Answer, Sampling
from synth.engines.simulated import Simulated
from synth.records import Record, Shard
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.worker import Worker
from synth.storage.run_folder import RunFolder
from synth.trials.side_by_side import SharedEngine, loaded

LEAST_SAVED = 0.3
LEAST_SAVED_FOR_REAL = 0.5
SHARD = 250
INSTRUCTION, RESPONSE = 30, 300  # tokens, at the median
MOST = {INSTRUCTION: 256, RESPONSE: 2048}
STEPS = {
    "magpie": {
        "_target_": "synth.steps.magpie.Magpie",
        "only_instruction": True,
        "instruction": {"max_tokens": MOST[INSTRUCTION]},
    },
    "respond": {"_target_": "synth.steps.respond.Respond", "sampling": {"max_tokens": MOST[RESPONSE]}},
    # Words of sixteen are all somewhat alike.
    "repeated": {"_target_": "synth.quality.near_duplicate.NearDuplicate", "threshold": 0.47},
}
EARLY = ["magpie", "asked", "repeated", "respond", "answered"]
LATE = ["magpie", "respond", "asked", "repeated", "answered"]


class Uneven(Simulated):
    """Instructions are short and answers are long."""

    async def generate(self, prompt: Any, sampling: Sampling) -> Answer:
        # Read there before anything is awaited.
        self.median_tokens = INSTRUCTION if sampling.max_tokens == MOST[INSTRUCTION] else RESPONSE
        return await super().generate(prompt, sampling)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, help="2,000, or 128 with --real")
    parser.add_argument("--real", action="store_true", help="a real model in vLLM; takes some minutes")
    parser.add_argument("--doomed", type=float, default=0.4, help="share of the records to be rejected, about")
    parser.add_argument("--json", type=Path, help="write the figures into this file, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.real:
            figures = asyncio.run(on_a_real_model(Path(folder), given.records or 128))
        else:
            figures = compare(Path(folder), given.records or 2000, given.doomed)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        shown = f"{value:,}" if isinstance(value, int | float) else str(value)
        print(f"{name.replace('_', ' '):32} {shown:>14}")
    least = LEAST_SAVED_FOR_REAL if given.real else LEAST_SAVED
    return 0 if not figures["rows_that_differ"] and figures["share_saved"] >= least else 1


def compare(folder: Path, records: int, doomed: float) -> dict[str, Any]:
    plain, _ = run(folder / "plain", ["magpie", "respond"], {}, records)
    filters = {
        "asked": at_least(plain, "instruction", 0.8 * doomed),
        "answered": at_least(plain, "response", 0.1 * doomed / (1 - 0.8 * doomed)),
    }
    early, early_tokens = run(folder / "early", EARLY, filters, records)
    late, late_tokens = run(folder / "late", LATE, filters, records)
    differing = sum(one != other for one, other in zip(early, late, strict=False)) + abs(len(early) - len(late))
    return {
        "records": records,
        "rows_kept": len(early),
        "share_rejected": round(1 - len(early) / records, 3),
        "rows_that_differ": differing,
        "tokens_with_filters_at_the_end": late_tokens,
        "tokens_with_early_filters": early_tokens,
        "share_saved": round(1 - early_tokens / late_tokens, 3),
    }


class Unwatched(SharedEngine):
    """An engine whose answers run to their end."""

    async def generate(self, prompt: Any, sampling: Sampling) -> Answer:
        answer: Answer = await self._engine.generate(prompt, sampling)
        return answer


async def on_a_real_model(folder: Path, records: int) -> dict[str, Any]:
    words = ["+strategy=magpie_filtered", "model=smollm2-135m-instruct", f"model.path={real_model()}"]
    words += ["engine.max_num_seqs=64", f"num_records={records}", f"shard_size={records}"]
    off = ["magpie.instruction", "respond.sampling"]
    endless = [f"++strategy.{key}.repetition_detection=false" for key in off]
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        as_shipped, to_the_end = (parse(compose("config", [*words, *more])) for more in ([], endless))
    arms: dict[str, Any] = {}
    rows: dict[str, list[Record]] = {}
    async with loaded(as_shipped.engine, folder / "engine.log") as engine:
        for name, config, one in (
            ("to_the_end", to_the_end, Unwatched(engine._engine)),
            ("as_shipped", as_shipped, engine),
        ):
            begun = time.perf_counter()
            rows[name], tokens = await made(dataclasses.replace(config, engine=one), folder / name, records)
            seconds = time.perf_counter() - begun
            rejected = read(RunFolder(folder / name).rejected(0))
            by = Counter(f"{row['rejected_by']}: {row['reason']}" for row in rejected)
            spent: Counter[str] = Counter()
            for row in rejected:
                spent[f"{row['rejected_by']}: {row['reason']}"] += row["usage"]["completion_tokens"]
            arms[name] = {
                "rows_kept": len(rows[name]),
                "tokens": tokens,
                "tokens_a_kept_row": round(tokens / max(1, len(rows[name]))),
                "seconds": round(seconds, 1),
                "rejected": dict(by.most_common()),
                "tokens_of_rejected": dict(spent.most_common()),
            }
    kept = [{row["id"]: row["messages"] for row in rows[name]} for name in arms]
    common = kept[0].keys() & kept[1].keys()
    return {
        "model": "SmolLM2-135M-Instruct",
        "processor": processor(),
        "records": records,
        **arms,
        "kept_by_one_alone": len(kept[0].keys() ^ kept[1].keys()),
        "rows_that_differ": sum(kept[0][id] != kept[1][id] for id in common),
        "share_saved": round(1 - arms["as_shipped"]["tokens_a_kept_row"] / arms["to_the_end"]["tokens_a_kept_row"], 3),
    }


def at_least(rows: list[Record], column: str, doomed: float) -> Record:
    """A filter that drops the shortest, a share of `doomed`."""
    lengths = sorted(len(row[column].split()) for row in rows)
    return {
        "_target_": "synth.quality.length.Length",
        "column": column,
        "unit": "words",
        "min": lengths[round(doomed * len(lengths))],
    }


def run(path: Path, names: list[str], filters: Mapping[str, Record], records: int) -> tuple[list[Record], int]:
    """The kept rows of all records, and the tokens that were generated for kept and rejected ones."""
    return asyncio.run(_run(path, names, filters, records))


async def _run(path: Path, names: list[str], filters: Mapping[str, Record], records: int) -> tuple[list[Record], int]:
    steps = {name: one for name, one in (STEPS | filters).items() if name in names}
    config = parse(
        {
            **{"num_records": records, "seed": 0, "output_dir": str(path), "shard_size": SHARD, "resume": "auto"},
            **{"min_yield": 0.05, "push_to_hub": None, "dry_run": False, "cluster": {}, "source": {}},
            "strategy": {"name": "early_rejection", **steps, "steps": list(names)},
            "model": {"path": "demo"},
            "engine": {"_target_": "synth.engines.simulated.Simulated"},
        }
    )
    config = dataclasses.replace(config, engine=Uneven(tokens_per_second=10_000.0, first_token_s=0.001))
    return await made(config, path, records)


async def made(config: Config, path: Path, records: int) -> tuple[list[Record], int]:
    folder = RunFolder(path)
    folder.make()
    duplicates = config.strategy.duplicates
    claims = KeyFinalizer(duplicates, path, "fingerprint") if duplicates else None
    worker = Worker(config, path, "fingerprint", claims=claims)
    await worker.start()
    size = config.settings.shard_size
    shards = [Shard(place, start, min(start + size, records)) for place, start in enumerate(range(0, records, size))]
    summaries = await asyncio.gather(*map(worker.run, shards))
    await worker.stop()
    rows = [row for shard in shards for row in read(folder.shard(shard.index))]
    return rows, sum(summary.completion_tokens for summary in summaries if summary)


def read(path: Path) -> list[Record]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        rows: list[Record] = reader.read_all().to_pylist()
        return rows


if __name__ == "__main__":
    sys.exit(main())
