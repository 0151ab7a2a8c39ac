"""The same records for Synth and for its peers: what Synth is told in its own words, and what a peer's script is given.

Magpie is an instruction and its response; Evol-Instruct two evolutions of a seed instruction and the answer, with
nothing looked at or thrown away. A peer gets the prompts, and for each request the seed that Synth's record has for
it, so that it can draw the same tokens.
"""

import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grammar_texts import said_first
from transformers import AutoTokenizer

from synth.models.model import Model
from synth.records import derive_seed
from synth.steps.evol_instruct import Operations
from synth.steps.prompts import render

WORKLOADS = ("magpie", "evol")
# Of every request, by the model: distilabel has one sampling for all of a task. Two answers of 512 fit into the demo's
# context; the real one hardly ends at temperature 1, and some of its answers never do.
SAMPLING = {
    "demo": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 512},
    "real": {"temperature": 0.8, "top_p": 0.9, "max_tokens": 256},
}
ROUNDS = 2  # of Evol-Instruct
SEED = 0  # of the run


class Alike:
    """`records` records of a `workload`, for the model in a folder. Seed instructions are written to `scratch`."""

    def __init__(self, workload: str, records: int, model: Path, sampling: dict[str, Any], scratch: Path):
        self.workload, self.records, self._model, self._sampling = workload, records, model, sampling
        self._source = scratch / f"{workload}.jsonl"
        if workload == "evol":
            self._source.write_text(
                "".join(json.dumps({"instruction": one}) + "\n" for one in said_first("user", records))
            )

    def overrides(self) -> list[str]:
        """Synth's command line, but for the model and the engine."""
        if self.workload == "magpie":
            words = ["+strategy=magpie", f"num_records={self.records}"]
            drawn = ("magpie.instruction", "magpie.response")
        else:
            words = ["+strategy=evol_instruct", "source=file", f"source.path={self._source}", "num_records=all"]
            evolved = {"rounds": ROUNDS, "eliminate": "[]", "keep_unevolved": "true"}
            words += [f"strategy.evol_instruct.{key}={value}" for key, value in evolved.items()]
            drawn = ("evol_instruct.evolve", "evol_instruct.response")
        return words + [f"strategy.{one}.{key}={value}" for one in drawn for key, value in self._sampling.items()]

    def work(self) -> dict[str, Any]:
        """The fields of Work, in peers/arm.py."""
        ids = Model(path=str(self._model), name="demo").load_chat_template().pre_query()
        return {
            "workload": self.workload,
            "records": self._magpie() if self.workload == "magpie" else self._evol(),
            "sampling": self._sampling,
            "pre_query": AutoTokenizer.from_pretrained(self._model).decode(ids),
            "pre_query_ids": ids,
            "prompts": {one: render(f"evolve_{one}", instruction="<PROMPT>", response=None) for one in _OPERATIONS},
        }

    def _magpie(self) -> list[dict[str, Any]]:
        scopes = [(SEED, str(number), "magpie") for number in range(self.records)]
        return [{"seeds": [derive_seed(*scope, call) for call in range(2)]} for scope in scopes]

    def _evol(self) -> list[dict[str, Any]]:
        records = []
        for number, instruction in enumerate(said_first("user", self.records)):
            scope = (SEED, str(number), "evol_instruct")
            rng = random.Random(derive_seed(*scope))
            operations = [rng.choices(list(_OPERATIONS), list(_OPERATIONS.values()))[0] for _ in range(ROUNDS)]
            seeds = [derive_seed(*scope, call) for call in range(ROUNDS + 1)]
            records.append({"instruction": instruction, "operations": operations, "seeds": seeds})
        return records


_OPERATIONS: dict[str, float] = asdict(Operations())
