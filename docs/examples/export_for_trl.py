"""What TRL's trainers read, from a run's dataset: python -m mine.export_for_trl runs/magpie sft.parquet

SFTTrainer reads `messages`, DPOTrainer `prompt`, `chosen` and `rejected`, GRPOTrainer `prompt` and what its reward
function takes. Answers that max_tokens cut are left out.
"""

import sys

from datasets import Dataset, load_from_disk

PAIR = ["prompt", "chosen", "rejected"]


def for_trl(run: str) -> Dataset:
    rows = load_from_disk(f"{run}/dataset")
    if set(PAIR) <= set(rows.column_names):
        return rows.select_columns(PAIR)
    if {"prompt", "verified_answer"} <= set(rows.column_names):
        return rows.select_columns(["prompt", "verified_answer"])
    return rows.filter(lambda row: row["finish_reason"] == "stop").select_columns(["messages"])


if __name__ == "__main__":
    run, path = sys.argv[1:]
    rows = for_trl(run)
    rows.to_parquet(path)
    print(f"{len(rows)} rows with {', '.join(rows.column_names)} in {path}")
