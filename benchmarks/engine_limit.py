"""How near Synth comes to the engine's limit: the same requests with no dependency between them, on the same engine.

    python benchmarks/engine_limit.py [--workloads magpie,evol,self_instruct] [--scale 1.0] [--repeats 2]
    python benchmarks/engine_limit.py --model real --workloads magpie --scale 0.3 --temperature 0.8 --top-p 0.9

Arms, in turn in one process on one loaded engine, its prefix cache emptied before each (A B C A B C):

  synth     a worker with its shards, journals and commits, as in a run; the cluster and the start are left out
  limit     the requests that it made, sent all at once
  kinds     where some are sampled and others greedy: all of one kind at once, then all of the other; the faster of this
            and `limit` is the engine's limit
  barriers  Magpie only: the same requests round by round in batches of 200, as scripts around LLM.generate do

Prompts, seeds, and with them the answers, are the same in all arms; tokens are counted from ids. `steady` is up to the
last moment at which the engine's batch was full: what follows is the tail, in which it shrinks. In any arm the last
records' last answers are waited for; where records are chains of calls, the tail is as long as the longest chains.
The model is the demonstration model padded with zeros (padded_model.py) to a size where the engine is what costs, or a
real one of 49,152 tokens (`--model real`), whose answers are cut at LENGTHS: Magpie's instructions are drawn at
`--temperature` and `--top-p` and its responses are greedy; the other techniques sample as shipped.
"""

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

from one_engine import RECORDS, Counted, Request, composed, loaded, machine, options, padded, synth, write_results
from real_model import real_model

from synth.chat import ChatTemplate

WARM_UP = 20  # records
BARRIER = 200  # records in a batch of the `barriers` arm
# Tokens at the most, of the real model's answers, by workload and call. It hardly ends by itself.
LENGTHS = {
    "magpie": {"magpie.instruction": 160, "magpie.response": 300},
    "evol": {"evol_instruct.evolve": 160, "evol_instruct.response": 300},
    "self_instruct": {"queries.sampling": 300, "respond.sampling": 300},
}


def main() -> int:
    parser = padded(options(__doc__, "engine_limit"))
    parser.add_argument("--workloads", default=",".join(RECORDS))
    parser.add_argument("--scale", type=float, default=1.0, help=f"share of the records: {RECORDS}")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=0.8, help="of Magpie's instructions, with --model real")
    parser.add_argument("--top-p", type=float, default=0.9, help="the same")
    write_results(parser.parse_args(), measure)
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict:
    engine = await loaded(given, scratch)
    what = machine(engine)
    print(f"{what['processor']}, vllm {what['versions']['vllm']}, {what['parameters']:,} parameters in "
          f"{what['dtype']}, {given.max_num_seqs} sequences")  # fmt: skip
    print(f"{'workload':14}{'arm':10}{'requests':>9}{'tokens':>9}{'seconds':>9}{'tokens/s':>10}{'steady':>9}"
          f"{'tail':>8}{'of limit':>10}{'steady':>8}")  # fmt: skip
    results = {"machine": what, "workloads": {}}
    for workload in given.workloads.split(","):
        records = max(1, round(RECORDS[workload] * given.scale))
        further = real_words(given, workload) if given.model == "real" else []
        results["workloads"][workload] = await compare(workload, records, given.repeats, engine, scratch, further)
    await engine.end()
    return results


def real_words(given: argparse.Namespace, workload: str) -> list[str]:
    """What the command line says of the real model, and of how it is asked."""
    words = ["model=smollm2-135m-instruct", f"model.path={real_model()}"]
    words += [f"strategy.{call}.max_tokens={most}" for call, most in LENGTHS[workload].items()]
    if workload == "magpie":
        for call, sampling in (("instruction", (given.temperature, given.top_p)), ("response", (0.0, 1.0))):
            keys = zip(("temperature", "top_p"), sampling, strict=True)
            words += [f"strategy.magpie.{call}.{key}={value}" for key, value in keys]
    return words


async def compare(
    workload: str, records: int, repeats: int, engine: Counted, scratch: Path, further: list[str]
) -> dict:
    config = composed(workload, records, scratch, further)
    template = engine.model.load_chat_template()
    await synth(composed(workload, WARM_UP, scratch / "warm", further), engine, scratch / f"{workload}-warm")
    arms: dict[str, list[dict]] = {"synth": [], "limit": []} | ({"barriers": []} if workload == "magpie" else {})
    if further and workload == "magpie":
        arms["kinds"] = []
    for repeat in range(repeats):
        requests = None
        for arm, runs in arms.items():
            await engine.forget()
            if arm == "synth":
                await synth(config, engine, scratch / f"{workload}{repeat}")
                requests = list(engine.requests)
            elif arm == "limit":
                await asyncio.gather(*(engine.generate(*request) for request in requests))
            elif arm == "kinds":
                for greedy in (False, True):
                    kind = [request for request in requests if (request[1].temperature == 0) == greedy]
                    await asyncio.gather(*(engine.generate(*request) for request in kind))
            else:
                await barriers(requests, engine, template)
            runs.append(engine.summary())
            print(f"  {arm} {repeat + 1}: {runs[-1]['tokens_per_second']:,.0f} tokens/s", file=sys.stderr, flush=True)
    limits = [(arms["limit"][n], *arms.get("kinds", [])[n : n + 1]) for n in range(repeats)]
    figures = {}
    for arm, runs in arms.items():
        pairs = list(zip(runs, limits, strict=True))
        row = {name: statistics.mean(run[name] for run in runs) for name in runs[0]} | {
            ratio: statistics.mean(share(run[name], max(limit[name] for limit in both)) for run, both in pairs)
            for ratio, name in (("of_limit", "tokens_per_second"), ("steady_of_limit", "steady"))
        }
        figures[arm] = row | {"runs": runs}
        print(f"{workload:14}{arm:10}{row['requests']:9,.0f}{row['tokens']:9,.0f}{row['seconds']:9.1f}"
              f"{row['tokens_per_second']:10,.0f}{row['steady']:9,.0f}{row['tail']:7.1f}s{row['of_limit']:10.3f}"
              f"{row['steady_of_limit']:8.3f}", flush=True)  # fmt: skip
    return figures


def share(of: float, whole: float) -> float:
    """Not a number where a workload was too small ever to fill the batch."""
    return of / whole if whole else float("nan")


async def barriers(requests: list[Request], engine: Counted, template: ChatTemplate) -> None:
    """All instructions of a batch, then all its responses, then the next batch."""
    pre_query = template.pre_query()
    drawn = [request for request in requests if list(request[0]) == pre_query]
    answered = {tuple(prompt): (prompt, sampling) for prompt, sampling in requests if list(prompt) != pre_query}
    for start in range(0, len(drawn), BARRIER):
        batch = drawn[start : start + BARRIER]
        answers = await asyncio.gather(*(engine.generate(*request) for request in batch))
        texts = [template.decode(answer.token_ids).strip() for answer in answers]
        prompts = [tuple(template.encode([{"role": "user", "content": text}])) for text in texts]
        await asyncio.gather(*(engine.generate(*answered[prompt]) for prompt in prompts if prompt in answered))


if __name__ == "__main__":
    sys.exit(main())
