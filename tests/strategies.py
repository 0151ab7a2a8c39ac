"""Shipped strategies, composed as the command line composes them, on an engine that is there already."""

import json
from typing import NamedTuple

from synth.configuration.config_groups import CONF_DIR
from synth.records import Shard
from synth.run import main
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.pool import GrowingPool
from synth.schedule.worker import Worker
from synth.sources.store import stored
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder
from synth.verifiers import sandbox
from tests.storage.rows import shard_rows

IN_A_SANDBOX = {"code_reasoning", "math_tool_reasoning"}
STRATEGIES = sorted(
    file.stem
    for file in (CONF_DIR / "strategy").glob("*.yaml")
    if file.stem not in IN_A_SANDBOX or sandbox.problem() is None
)


class Made(NamedTuple):
    """What came of a shard: its summary, and the rows."""

    summary: object
    kept: list
    rejected: list


def composed(strategy, folder, records, source=None, *overrides):
    """The configuration as the command line gives it. `source` are columns, each with a list of texts."""
    words = [f"+strategy={strategy}", f"output_dir={folder}", f"num_records={records}", "min_yield=0.9", *overrides]
    if source:
        path = folder.parent / f"{strategy}.jsonl"
        rows = [dict(zip(source, row, strict=True)) for row in zip(*source.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        words += [f"source={'batch' if strategy == 'batch' else 'file'}", f"source.path={path}", "num_records=all"]
    if strategy == "preference":
        words.append("strategy.preference.ties=keep")
    if strategy.startswith("magpie_filtered_"):  # in place of models from the Hub
        words.append("strategy.reward.model={_target_: tests.quality.test_presets.Points, points: 0}")
        words.append("strategy.repeated.model={_target_: tests.quality.test_presets.Directions}")
    found = []
    assert main(words, work=lambda config: found.append(config) or 0) == 0
    return found[0]


def requests(instructions):
    """The columns of a batch file's lines."""
    bodies = [
        {"messages": [{"role": "user", "content": instruction}], "temperature": 0} for instruction in instructions
    ]
    ids = [f"request-{number}" for number in range(len(bodies))]
    fixed = {"method": ["POST"] * len(bodies), "url": ["/v1/chat/completions"] * len(bodies)}
    return {"custom_id": ids, **fixed, "body": bodies}


async def made(config, path, records):
    """The first `records` records of a run, as one shard of one worker."""
    folder = RunFolder(path)
    folder.make()
    rules, duplicates = config.strategy.pool, config.strategy.duplicates
    pool = GrowingPool(rules, Decisions(folder.pool)) if rules else None
    claims = KeyFinalizer(duplicates, folder.path, "fingerprint") if duplicates else None
    with stored(config.source, folder.source) as (_, put_in_place):
        put_in_place()
    worker = Worker(config, folder.path, "fingerprint", pool, claims)
    await worker.start()
    summary = await worker.run(Shard(0, 0, records))
    await worker.stop()
    return Made(summary, *(shard_rows(path) for path in (folder.shard(0), folder.rejected(0))))
