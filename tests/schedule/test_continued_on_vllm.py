"""With continue_answers an answer of real vLLM that was cut goes on from the tokens it had."""

import asyncio
import dataclasses
import shutil

import pytest

from synth.configuration.parsing import parse
from synth.engines import WATCHED_EVERY
from synth.records import Shard
from synth.schedule import checkpoint
from synth.schedule import worker as module
from synth.schedule.worker import Worker
from synth.storage.calls import CallJournal
from synth.storage.journal import finished_numbers, owner_of
from synth.storage.run_folder import RunFolder
from synth.trials.side_by_side import SharedEngine
from tests.schedule.configs import config
from tests.storage.rows import shard_rows

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LENGTH = 1000
SHARD = Shard(0, 0, 32)


async def one_call(record, llm):
    # So hot that many an answer is long.
    answer = await llm.chat(f"Count from {llm.id}", temperature=2.0, max_tokens=LENGTH, repetition_detection=None)
    return record | {"instruction": llm.id, "response": answer.text}


class Counted(SharedEngine):
    """The tests' engine, with the `tokens` of its complete answers."""

    tokens = 0

    async def generate(self, prompt, sampling, watch=None):
        answer = await self._engine.generate(prompt, sampling, watch)
        self.tokens += answer.completion_tokens
        return answer


def worker(engine, path):
    steps = [{"_target_": "tests.schedule.test_continued_on_vllm.one_call"}]
    chosen = {"checkpoint_calls": True, "continue_answers": True, "strategy": {"name": "test", "steps": steps}}
    RunFolder(path).make()
    found = dataclasses.replace(parse(config().resolved | chosen), engine=engine)
    return Worker(found, path, "fingerprint")


def on_disk(folder):
    """The tokens of each record's answer, whole where the record is finished."""
    calls = CallJournal.kept(folder.calls(0), owner_of(SHARD, "fingerprint"), range(len(SHARD)))
    return [
        [token for call in calls.take(number).values() for token in call["token_ids"]] for number in range(len(SHARD))
    ]


@pytest.mark.parametrize("ends", ["killed", "stopped"])
async def test_only_what_was_not_on_disk_is_generated_again(engine, tmp_path, monkeypatch, ends):
    monkeypatch.setattr(module, "JOURNAL_INTERVAL_S", 0.02)
    monkeypatch.setattr(checkpoint, "PART", WATCHED_EVERY)
    first = worker(SharedEngine(engine), tmp_path / "run")
    await first.start()
    running = asyncio.create_task(first.run(SHARD))
    while not any(on_disk(RunFolder(tmp_path / "run"))):
        assert not running.done()
        await asyncio.sleep(0.01)
    if ends == "killed":
        shutil.copytree(tmp_path / "run", tmp_path / "again")
    await first.stop()
    assert await running is None
    if ends == "stopped":
        (tmp_path / "run").rename(tmp_path / "again")
    folder = RunFolder(tmp_path / "again")
    finished, begun = finished_numbers(folder.journal(0)), on_disk(folder)
    assert any(begun)

    counted = Counted(engine)
    second = worker(counted, folder.path)
    await second.start()
    await second.run(SHARD)
    await second.stop()
    rows = shard_rows(folder.shard(0))
    lengths = [row["usage"]["completion_tokens"] for row in rows]
    assert counted.tokens == sum(
        length - len(tokens)
        for number, (length, tokens) in enumerate(zip(lengths, begun, strict=True))
        if number not in finished
    )
    template = engine.model.load_chat_template()
    for row, length, tokens in zip(rows, lengths, begun, strict=True):
        assert length == LENGTH if row["finish_reason"] == "length" else length < LENGTH
        # The last character of the beginning may be cut in its middle.
        assert row["response"].startswith(template.decode(tokens).strip().rstrip("\N{REPLACEMENT CHARACTER}"))
