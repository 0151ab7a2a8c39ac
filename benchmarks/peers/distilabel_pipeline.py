"""Magpie or Evol-Instruct as a distilabel pipeline, against `vllm serve` through distilabel's ClientvLLM.

`batch` in the tuning is the task's input_batch_size and `replicas` the processes of it that send batches at the same
time. With `own_engine` distilabel's vLLM class is tried in place of the server. Requests have no seed, which
ClientvLLM can't send; a task has one sampling for all its requests.
"""

import json
import os
import time

import distilabel
import vllm
from arm import MARK, Asked, Told, asked
from distilabel.models import ClientvLLM, vLLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, StepResources
from distilabel.steps.tasks import EvolInstruct, Magpie
from server import count, served

BATCHES = "PEER_BATCHES"  # names the file where each process of the task notes when its batches were under way


class Timed(ClientvLLM):
    """ClientvLLM, with a note of when each batch began and ended."""

    async def _agenerate(self, inputs, num_generations=1, **kwargs):
        began = time.time()
        outputs = await super()._agenerate(inputs=inputs, num_generations=num_generations, **kwargs)
        with open(os.environ[BATCHES], "a") as notes:
            notes.write(json.dumps([began, time.time()]) + "\n")
        return outputs


def llm(given: Asked, url: str) -> Timed:
    return Timed(
        base_url=url,
        tokenizer=given.model,
        timeout=600,
        generation_kwargs=sampling(given),
        use_magpie_template=given.work.workload == "magpie",
        magpie_pre_query_template=given.work.pre_query,
    )


def sampling(given: Asked) -> dict:
    """By distilabel's own names."""
    own = dict(given.work.sampling)
    return own | {"max_new_tokens": own.pop("max_tokens")}


def try_own_engine(given: Asked) -> None:
    """One request to distilabel's vLLM class. Raises what that raises."""
    engine = dict(given.engine)
    own = vLLM(
        model=given.model,
        dtype=engine.pop("dtype"),
        extra_kwargs=engine,
        disable_cuda_device_placement=True,  # else it looks for GPUs
    )
    own.load()
    own.generate(inputs=[[{"role": "user", "content": "Hello"}]], **sampling(given))
    raise SystemExit("distilabel's vLLM class runs with this vLLM, and is not timed yet")


def pipeline(given: Asked, url: str) -> Pipeline:
    work = given.work
    size = given.tuning.get("batch", len(work.records))
    with Pipeline(name="peer") as made:
        rows = [{"instruction": one.get("instruction", ""), "number": n} for n, one in enumerate(work.records)]
        load = LoadDataFromDicts(data=rows, batch_size=size)
        options = {
            "llm": llm(given, url),
            "input_batch_size": size,
            "resources": StepResources(replicas=given.tuning.get("replicas", 1)),
        }
        if work.workload == "magpie":
            task = Magpie(n_turns=1, **options)
        else:
            rounds = len(work.records[0]["operations"])
            task = EvolInstruct(
                num_evolutions=rounds, generate_answers=True, mutation_templates=work.prompts, **options
            )
        load >> task
    return made


def main() -> None:
    given = asked(__doc__)
    told = Told(versions={"distilabel": distilabel.__version__, "vllm": vllm.__version__})
    given.work.prompts = {name: text for name, text in given.work.prompts.items() if MARK in text}
    if given.tuning.get("own_engine"):
        try_own_engine(given)
    notes = given.out.with_suffix(".batches")
    notes.write_text("")
    os.environ[BATCHES] = str(notes)
    with served(given, told) as url:
        made = pipeline(given, f"{url}/v1").run(use_cache=False)
        told.records = len(made["default"]["train"])
        count(url, told)
    times = [json.loads(line) for line in notes.read_text().splitlines()]
    told.first_request = min(began for began, _ in times)
    told.last_answer = max(ended for _, ended in times)
    told.write(given.out)


if __name__ == "__main__":
    main()
