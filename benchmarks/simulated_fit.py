"""The simulated engine fitted to a real one, and how well it fits.

    python benchmarks/simulated_fit.py [--records 400]

Magpie on vLLM with the padded model of one_engine.py, by one worker. Fitted are the lengths of the answers, as a
log-normal distribution, and each answer's seconds, as a time to the first token and a number of tokens per second. Then
the same worker makes as many records on the simulated engine with these numbers, and the table shows both.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from one_engine import composed, loaded, machine, options, padded, synth, write_results

from synth.engines import Answer, Sampling
from synth.engines.simulated import Simulated


def main() -> int:
    parser = padded(options(__doc__, "simulated_fit"))
    parser.add_argument("--records", type=int, default=400)
    write_results(parser.parse_args(), measure)
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    config = composed("magpie", given.records, scratch)
    # No more than fit into the batch, so that no answer's seconds are those of a queue.
    config = replace(config, cluster=replace(config.cluster, records_in_flight=given.max_num_seqs))
    engine = await loaded(given, scratch)
    await synth(config, engine, scratch / "warm")
    real = Observed(engine)
    await synth(config, real, scratch / "real")
    fitted = fit(real.answers) | {"max_num_seqs": given.max_num_seqs, "max_model_len": engine.max_model_len}
    simulated = Observed(Simulated(**fitted))
    await synth(config, simulated, scratch / "simulated")
    results = {"machine": machine(engine), "fitted": fitted, "real": real.summary(), "simulated": simulated.summary()}
    await engine.end()
    print(", ".join(f"{name}={value:.4g}" for name, value in fitted.items()))
    print(f"{'':26}{'real':>10}{'simulated':>11}")
    for name, value in results["real"].items():
        print(f"{name.replace('_', ' '):26}{value:10,.2f}{results['simulated'][name]:11,.2f}")
    return results


def fit(answers: Sequence[tuple[int, float]]) -> dict[str, float]:
    """The simulated engine's keys from (tokens, seconds) of real answers."""
    tokens, seconds = np.array([answer for answer in answers if answer[0]], float).T
    logs = np.log(tokens)
    per_token, first = np.polyfit(tokens, seconds, 1)
    return {
        "median_tokens": round(float(np.exp(logs.mean()))),
        "sigma": float(logs.std()),
        "first_token_s": max(0.0, float(first)),
        "tokens_per_second": float(1 / per_token),
    }


class Observed:
    """An engine with the length and the time of each of its answers."""

    def __init__(self, engine: Any):
        self._engine = engine
        self.answers: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        self._begun = getattr(self, "_begun", time.perf_counter())
        start = time.perf_counter()
        answer = await self._engine.generate(prompt, sampling)
        self._ended = time.perf_counter()
        self.answers.append((len(answer.token_ids), self._ended - start))
        return answer

    def summary(self) -> dict[str, float]:
        tokens, seconds = zip(*self.answers, strict=True)
        quantiles = {}
        for name, values in (("tokens", tokens), ("seconds", seconds)):
            cuts = statistics.quantiles(values, n=20)
            quantiles |= {f"{name}_p{p}": cuts[p // 5 - 1] for p in (10, 50, 90, 95)}
        wall = self._ended - self._begun
        return {"answers": len(tokens), "wall_s": wall, "tokens_per_second": sum(tokens) / wall} | quantiles


if __name__ == "__main__":
    sys.exit(main())
