"""Magpie with Ray Data's LLM processors: one for the instructions, one for the responses, each with its own engine.

`batch_size` and `max_concurrent_batches` in the tuning are the processors' own. With `in_turn` the second one begins
when the first has ended, so that one engine has the machine at a time; without, rows stream from one to the other and
both engines run. Prompts are token ids, made in the rows' own preprocessing: the stages that render and tokenize would
be three more processes a processor. Evol would be an engine for each round.
"""

import ray
import vllm
from arm import Asked, Told, asked
from ray.data.llm import build_processor, vLLMEngineProcessorConfig
from transformers import AutoTokenizer

CPUS = 8  # for Ray's counting only: its engines and maps ask for one each, and the machine may have fewer


def processor(given: Asked, preprocess, postprocess):
    config = vLLMEngineProcessorConfig(
        model_source=given.model,
        engine_kwargs=dict(given.engine),
        concurrency=1,
        batch_size=given.tuning["batch_size"],
        max_concurrent_batches=given.tuning["max_concurrent_batches"],
        placement_group_config={"bundles": [{"CPU": 1}]},  # else it waits for a GPU
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,  # the engine's own text is there
        log_engine_metrics=False,  # needs ray[serve], and is for dashboards
    )
    return build_processor(config, preprocess=preprocess, postprocess=postprocess)


def processors(given: Asked) -> list:
    sampling, pre_query = given.work.sampling, given.work.pre_query_ids
    tokenizer = AutoTokenizer.from_pretrained(given.model)

    def sent(row: dict, prompt: list[int], call: int) -> dict:
        return row | {"tokenized_prompt": prompt, "sampling_params": sampling | {"seed": row["seeds"][call]}}

    def cost(row: dict, call: int) -> dict:
        return {
            f"tokens_{call}": int(row["num_generated_tokens"]),
            f"arrived_{call}": float(row["metrics"]["arrival_time"]),
        }

    def query(row: dict) -> dict:
        return sent(row, pre_query, 0)

    def instruction(row: dict) -> dict:
        return {"seeds": row["seeds"], "instruction": row["generated_text"].strip()} | cost(row, 0)

    def chat(row: dict) -> dict:
        messages = [{"role": "user", "content": row["instruction"]}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return sent(row, ids, 1)

    def response(row: dict) -> dict:
        kept = {name: row[name] for name in ("instruction", "tokens_0", "arrived_0")}
        return kept | {"response": row["generated_text"].strip()} | cost(row, 1)

    return [processor(given, query, instruction), processor(given, chat, response)]


def main() -> None:
    given = asked(__doc__)
    told = Told(versions={"ray": ray.__version__, "vllm": vllm.__version__})
    ray.init("local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"seeds": record["seeds"]} for record in given.work.records])
    # A block is the least that goes from one stage to the next.
    rows = rows.repartition(max(1, len(given.work.records) // given.tuning["batch_size"]))
    first, second = processors(given)
    rows = first(rows)
    if given.tuning.get("in_turn"):
        rows = rows.materialize()
    made = second(rows).take_all()
    told.done(len(made))
    for row in made:
        for call in (0, 1):
            tokens = row[f"tokens_{call}"]
            told.answered(tokens, "length" if tokens == given.work.sampling["max_tokens"] else "stop")
    # Ray Data sends rows as soon as an engine runs.
    told.engine_ready = told.first_request = min(row["arrived_0"] for row in made)
    told.write(given.out)
    ray.shutdown()


if __name__ == "__main__":
    main()
