"""Evol-Instruct as DataDesigner's columns, a chat each: two evolutions of a seed and the answer, against vLLM's server.

`at_once` in the tuning is max_parallel_requests of the model, 4 where DataDesigner is left alone. Which evolution a row
gets is a column of its seeds, and its prompt a Jinja template with a branch for each. All rows are one row group, as
its documentation has it for the best throughput. Requests have no seed: a model has one set of parameters for all rows.
"""

import time
from importlib import metadata

import data_designer.config as dd
import pandas as pd
from arm import MARK, Asked, Told, asked
from data_designer.interface import DataDesigner
from server import count, served


def columns(given: Asked) -> dd.DataDesignerConfigBuilder:
    """The chain: each column's prompt names the one before it."""
    work = given.work
    model = dd.ModelConfig(
        alias="model",
        model=given.model,
        provider="server",
        inference_parameters=dd.ChatCompletionInferenceParams(
            **work.sampling, max_parallel_requests=given.tuning["at_once"]
        ),
        skip_health_check=True,
    )
    rounds = len(work.records[0]["operations"])
    rows = [
        {"instruction": record["instruction"]} | {f"operation_{n}": record["operations"][n] for n in range(rounds)}
        for record in work.records
    ]
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame(rows)))
    before = "instruction"
    for number in range(rounds):
        branches = "".join(
            f"{{% if operation_{number} == '{name}' %}}{text.replace(MARK, '{{ ' + before + ' }}')}{{% endif %}}"
            for name, text in work.prompts.items()
        )
        before = f"evolved_{number}"
        builder.add_column(dd.LLMTextColumnConfig(name=before, model_alias="model", prompt=branches))
    builder.add_column(dd.LLMTextColumnConfig(name="response", model_alias="model", prompt="{{ " + before + " }}"))
    return builder


def main() -> None:
    given = asked(__doc__)
    told = Told(versions={"data-designer": metadata.version("data-designer")})
    records = len(given.work.records)
    with served(given, told) as url:
        provider = dd.ModelProvider(name="server", endpoint=f"{url}/v1", api_key="none")
        designer = DataDesigner(artifact_path=given.out.with_suffix(".rows"), model_providers=[provider])
        designer.set_run_config(dd.RunConfig(buffer_size=records, otel_metrics_port=None))
        told.first_request = time.time()
        made = designer.create(columns(given), num_records=records, dataset_name="evol")
        told.done(len(made.load_dataset()))
        count(url, told)
    told.write(given.out)


if __name__ == "__main__":
    main()
