"""A long OpenAI batch file through the whole of Synth, with a simulated engine: what it costs, and in how much memory.

    python benchmarks/batch_file.py [--lines 100000,1000000] [--replicas 2] [--folder FOLDER] [--json FILE]

The file, the source, Ray, the workers, the journals, the merge and the export are the real ones, each command as a user
types it. The engine's answers are random words, which take it no time: so the figures are those of everything else.
One line in a hundred can't be answered, of five kinds.

  read     python -m synth.run ... dry_run=true: every line is read and checked, the run is planned
  run      the run, which reads them again, to the merged dataset and its report
  export   python -m synth.export --format openai_batch

Memory is the most that a process of its own had at once (RssAnon), in MiB: without the pages of files that it maps,
which the system takes back when it needs them. Of several workers, the one with the most. Flat memory means that ten
times as many lines take no more of it, except 8 bytes a line for custom_ids.

Every result is read back: there has to be one for each line, in their order.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from machine import processor

ENGINE = ["engine=simulated", "engine.tokens_per_second=1000000", "engine.first_token_s=0", "engine.median_tokens=40"]
WORDS = "amber birch cedar delta ember fjord grove haven ivory jetty knoll lemon maple north ocean pearl".split()
EVERY_S = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", default="100000,1000000")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "batch_file.json")
    given = parser.parse_args()
    results = []
    for lines in map(int, given.lines.split(",")):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            results.append(measured(Path(folder), lines, given.replicas))
        given.json.parent.mkdir(exist_ok=True)
        result = {"machine": processor(), "replicas": given.replicas, "files": results}
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def measured(folder: Path, lines: int, replicas: int) -> dict:
    requests, run_dir, out = folder / "requests.jsonl", folder / "run", folder / "results"
    write_requests(requests, lines)
    command = ["-m", "synth.run", "+strategy=batch", f"source.path={requests}", f"output_dir={run_dir}", *ENGINE]
    command += [f"cluster.replicas={replicas}"]
    found = {"lines": lines, "file_mb": round(requests.stat().st_size / 1e6)}
    export = ["-m", "synth.export", str(run_dir), "--format", "openai_batch", "--output-dir", str(out)]
    for name, words in {"read": [*command, "dry_run=true"], "run": command, "export": export}.items():
        found[name] = watched(words)
        print(f"{lines:,} lines, {name}: {found[name]}", flush=True)
    found["run"]["lines_per_second"] = round(lines / found["run"]["seconds"])
    found |= {"results_mb": round((out / "output.jsonl").stat().st_size / 1e6)}
    found |= {"results": count_results(out / "output.jsonl")}
    return found


def write_requests(path: Path, lines: int) -> None:
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(lines):
            messages = [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": " ".join(rng.choices(WORDS, k=40))},
            ]
            body = {"model": "demo", "messages": messages, "temperature": 0.7, "max_tokens": 64, "seed": number}
            line = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            kind = number // 100 % 5 if number % 100 == 99 else None
            if kind == 1:
                body["logit_bias"] = {"50256": -100}
            elif kind == 2:
                line["custom_id"] = f"request-{number // 2}"
            elif kind == 3:
                line["url"] = "/v1/embeddings"
            elif kind == 4:
                body["model"] = "gpt-4o-mini"
            text = json.dumps(line)
            file.write(text[: len(text) // 2] if kind == 0 else text)
            file.write("\n")


def count_results(path: Path) -> dict[str, int]:
    """Lines in all, and errors. The order is that of the requests."""
    errors = count = 0
    with path.open() as file:
        for number, line in enumerate(file):
            result = json.loads(line)
            count += 1
            if result["error"] is None:
                assert result["custom_id"] == f"request-{number}", (number, result["custom_id"])
            else:
                errors += 1
                assert result["error"]["line"] == number + 1, (number, result["error"])
    return {"lines": count, "errors": errors}


def watched(words: list[str]) -> dict[str, float]:
    """Seconds, and memory of the process and of its workers."""
    start = time.perf_counter()
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, env=env)
    most: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY_S):
            most["process"] = max(most.get("process", 0), own_mib(process.pid))
            for worker in workers(process.pid):
                most["worker"] = max(most.get("worker", 0), own_mib(worker))

    watching = threading.Thread(target=watch)
    watching.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    ended.set()
    watching.join()
    assert code == 0, f"exit code {code} of {' '.join(words)}"
    return {"seconds": round(seconds, 1)} | {f"{name}_mib": round(one) for name, one in most.items()}


def workers(driver: int) -> list[int]:
    """The processes of workers among the driver's descendants."""
    parents, named = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"WorkerProcess" in (folder / "cmdline").read_bytes():
                named.append(int(folder.name))
    return [one for one in named if is_below(one, driver, parents)]


def is_below(process: int, ancestor: int, parents: dict[int, int]) -> bool:
    while process in parents and process != ancestor:
        process = parents[process]
    return process == ancestor


def own_mib(process: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
