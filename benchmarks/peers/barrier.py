"""Round by round with LLM.generate, as public scripts for Magpie and Evol-Instruct do.

All first requests of a batch, then all its second ones, and so on, then the next batch. `batch` in the tuning is the
records in a batch; without it there is one batch of all.
"""

from arm import Asked, Told, asked
from vllm import LLM, SamplingParams
from vllm import __version__ as vllm_version
from vllm.inputs import TokensPrompt


class Rounds:
    def __init__(self, asked: Asked, told: Told):
        self._work, self._told = asked.work, told
        self._llm = LLM(model=asked.model, **asked.engine)
        told.ready()

    def magpie(self, batch: list[dict]) -> None:
        start = TokensPrompt(prompt_token_ids=self._work.pre_query_ids)
        outputs = self._llm.generate([start] * len(batch), self._sampling(batch, 0), use_tqdm=False)
        self._chat(self._texts(outputs), batch, 1)

    def evol(self, batch: list[dict]) -> None:
        texts = [record["instruction"] for record in batch]
        rounds = len(batch[0]["operations"])
        for number in range(rounds):
            operations = [record["operations"][number] for record in batch]
            asked = [self._work.evolution(one, text) for one, text in zip(operations, texts, strict=True)]
            texts = self._chat(asked, batch, number)
        self._chat(texts, batch, rounds)

    def _chat(self, messages: list[str], batch: list[dict], call: int) -> list[str]:
        conversations = [[{"role": "user", "content": text}] for text in messages]
        return self._texts(self._llm.chat(conversations, self._sampling(batch, call), use_tqdm=False))

    def _sampling(self, batch: list[dict], call: int) -> list[SamplingParams]:
        return [SamplingParams(**self._work.sampling, seed=record["seeds"][call]) for record in batch]

    def _texts(self, outputs) -> list[str]:
        for output in outputs:
            self._told.answered(len(output.outputs[0].token_ids), output.outputs[0].finish_reason)
        return [output.outputs[0].text.strip() for output in outputs]


def main() -> None:
    given, told = asked(__doc__), Told(versions={"vllm": vllm_version})
    rounds = Rounds(given, told)
    records = given.work.records
    size = given.tuning.get("batch", len(records))
    for start in range(0, len(records), size):
        getattr(rounds, given.work.workload)(records[start : start + size])
    told.done(len(records))
    told.write(given.out)


if __name__ == "__main__":
    main()
