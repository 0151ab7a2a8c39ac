"""What the peers' scripts have in common: their command line, their prompts, and what they tell.

A script runs in its peer's environment, where there is no Synth: it knows a model folder, a file of work, the
arguments of the engine and its own tuning. It tells when its engine was ready, when it sent its first request and had
its last answer, and how many tokens the answers had without the token that ended them, which is how Synth counts.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MARK = "<PROMPT>"  # where the instruction stands in an evolution's prompt


@dataclass
class Work:
    """`records` have `seeds`, one for each request; for Evol an `instruction` and its `operations`, one a round.

    `sampling` is that of every request. `pre_query` is the prompt of a user's first words, as text and as token ids.
    """

    workload: str
    records: list[dict[str, Any]]
    sampling: dict[str, Any]
    pre_query: str
    pre_query_ids: list[int]
    prompts: dict[str, str]  # of each evolution

    def evolution(self, operation: str, instruction: str) -> str:
        return self.prompts[operation].replace(MARK, instruction)


@dataclass
class Told:
    """Times are seconds since 1970."""

    engine_ready: float = 0.0
    first_request: float = 0.0
    last_answer: float = 0.0
    tokens: int = 0
    records: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    def ready(self) -> None:
        self.engine_ready = self.first_request = time.time()

    def done(self, records: int) -> None:
        self.last_answer, self.records = time.time(), records

    def answered(self, tokens: int, finish_reason: str) -> None:
        self.tokens += tokens - (finish_reason == "stop")

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


@dataclass
class Asked:
    model: str
    work: Work
    engine: dict[str, Any]
    tuning: dict[str, Any]
    out: Path
    vllm_python: str


def asked(doc: str) -> Asked:
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--model", required=True, help="the model's folder")
    parser.add_argument("--work", required=True, type=Path, help="prompts and seeds, as JSON")
    parser.add_argument("--engine", required=True, type=json.loads, help="vLLM's arguments, as JSON")
    parser.add_argument("--tuning", default={}, type=json.loads, help="the script's own, as JSON")
    parser.add_argument("--vllm-python", default=sys.executable, help="which runs vLLM's server")
    parser.add_argument("--out", required=True, type=Path, help="where the figures go")
    given = parser.parse_args()
    return Asked(
        given.model,
        Work(**json.loads(given.work.read_text())),
        given.engine,
        given.tuning,
        given.out,
        given.vllm_python,
    )
