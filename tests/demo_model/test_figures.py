"""What the demonstration model must be able to do for the rest of the tests to mean anything."""

import asyncio

import pytest

from synth.engines import Sampling
from synth.models.model import Model

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_most_of_500_magpie_instructions_are_distinct_and_end_by_themselves(engine):
    template = Model(path="demo").load_chat_template()
    prompt = template.pre_query()
    stop_ids = template.query_stop.token_ids
    answers = await asyncio.gather(
        *(
            engine.generate(prompt, Sampling(temperature=1.0, max_tokens=1024, stop_token_ids=stop_ids, seed=seed))
            for seed in range(500)
        )
    )
    distinct = {tuple(answer.token_ids) for answer in answers}
    assert len(distinct) >= 450
    assert sum(answer.finish_reason == "stop" for answer in answers) >= 475
