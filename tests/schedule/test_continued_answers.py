"""With continue_answers an answer that was cut goes on from the tokens it had."""

import asyncio
import dataclasses
import shutil

import pytest

from synth.configuration.parsing import parse
from synth.engines import Answer, EngineStats, Sampling
from synth.engines.simulated import Simulated
from synth.errors import ConfigError
from synth.records import Shard
from synth.schedule import worker as module
from synth.schedule.checkpoint import PART, Checkpoint, Checkpointed
from synth.storage.calls import CallJournal
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import config
from tests.storage.rows import shard_rows

LENGTH, CHUNK, TOKENS = 2000, 32, range(60, 80)
SHARD = Shard(0, 0, 3)


async def one_call(record, llm):
    answer = await llm.chat(f"Count from {llm.id}", temperature=0.0, max_tokens=LENGTH, repetition_detection=None)
    return record | {"instruction": llm.id, "response": answer.text}


class Counts(Simulated):
    """An engine whose every token follows from the one before, as a greedy one's follow from all of them. It gives its
    tokens in chunks, and no more than `most` of them before it hangs."""

    most = 10**9
    tokens = 0

    async def generate(self, prompt, sampling, watch=None):
        token_ids = []
        while len(token_ids) < sampling.max_tokens:
            while self.tokens >= self.most:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            before = token_ids[-1] if token_ids else prompt[-1]
            token_ids.append(TOKENS[(before * 7 + 1) % len(TOKENS)])
            self.tokens += 1
            if watch and len(token_ids) % CHUNK == 0 and watch(token_ids):
                return Answer(token_ids, "abort", len(prompt))
        return Answer(token_ids, "length", len(prompt))

    def stats(self):
        return EngineStats()


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(module, "JOURNAL_INTERVAL_S", 0.02)


@pytest.fixture
def start(tmp_path, start_worker):
    async def start(name, most=10**9, continue_answers=True):
        chosen = {"checkpoint_calls": True, "continue_answers": continue_answers}
        steps = [{"_target_": "tests.schedule.test_continued_answers.one_call"}]
        resolved = config().resolved | {"strategy": {"name": "test", "steps": steps}} | chosen
        engine = Counts()
        engine.most = most
        return await start_worker(parse(resolved), engine, RunFolder(tmp_path / name)), engine

    return start


def rows(path):
    return shard_rows(RunFolder(path).shard(0))


async def hung(worker, engine):
    running = asyncio.create_task(worker.run(SHARD))
    while engine.tokens < engine.most:
        await asyncio.sleep(0.01)
    await worker.sync()
    return running


@pytest.mark.parametrize("ends", ["killed", "stopped"])
async def test_an_answer_that_was_cut_goes_on_and_the_row_is_that_of_the_whole(start, tmp_path, ends):
    whole, undisturbed = await start("undisturbed")
    await whole.run(SHARD)
    assert undisturbed.tokens == LENGTH * len(SHARD)
    first, engine = await start("run", most=3000)
    running = await hung(first, engine)
    if ends == "killed":
        shutil.copytree(tmp_path / "run", tmp_path / "again")
    else:
        await first.stop()
        assert await running is None
        (tmp_path / "run").rename(tmp_path / "again")
    second, further = await start("again")
    await second.run(SHARD)
    assert rows(tmp_path / "again") == rows(tmp_path / "undisturbed")
    lost = engine.tokens + further.tokens - undisturbed.tokens
    assert 0 <= lost <= len(SHARD) * (CHUNK if ends == "stopped" else CHUNK + PART)
    assert (await second.counters()).completion_tokens == further.tokens


async def test_an_answer_that_is_cut_again_goes_on_from_all_of_its_parts(start, tmp_path):
    whole, undisturbed = await start("undisturbed")
    await whole.run(SHARD)
    made = 0
    for _ in range(3):
        worker, engine = await start("run", most=1500)
        running = await hung(worker, engine)
        await worker.stop()
        assert await running is None
        made += engine.tokens
    last, engine = await start("run")
    await last.run(SHARD)
    assert rows(tmp_path / "run") == rows(tmp_path / "undisturbed")
    assert made + engine.tokens - undisturbed.tokens <= 3 * len(SHARD) * CHUNK


async def test_without_the_key_it_is_made_again_from_its_beginning(start, tmp_path):
    first, engine = await start("run", most=3000, continue_answers=False)
    running = await hung(first, engine)
    await first.stop()
    await running
    assert not RunFolder(tmp_path / "run").calls(0).exists()
    second, further = await start("run")
    await second.run(SHARD)
    assert further.tokens == LENGTH * len(SHARD)


class Cut:
    """An engine that is broken off after 64 tokens, the first time that it is asked; it notes what it was asked."""

    max_model_len = 10_000

    def __init__(self):
        self.asked = []

    async def generate(self, prompt, sampling, watch=None):
        self.asked.append((list(prompt), sampling))
        if len(self.asked) == 1:
            assert watch is None or not watch(list(range(64)))
            raise asyncio.CancelledError
        return Answer([7], "stop", len(prompt), cached_tokens=len(prompt))


async def gone_on(tmp_path, sampling, prompt=(1, 2), watch=None):
    """What the engine is asked, and the answer, when a call is made again that was broken off."""
    engine = Cut()
    for _ in range(2):
        checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), False, continues=True)
        try:
            answer = await Checkpointed(engine, "main", checkpoint.begin(1)).generate(prompt, sampling, watch)
        except asyncio.CancelledError:
            checkpoint.close(2)
    return engine.asked[1], answer


async def test_the_rest_is_another_request_with_fewer_tokens_and_a_seed_of_its_own(tmp_path):
    sampling = Sampling(seed=5, max_tokens=100)
    (prompt, rest), answer = await gone_on(tmp_path, sampling)
    assert prompt == [1, 2, *range(64)]
    assert rest.max_tokens == 36 and rest.seed not in (5, None)
    assert dataclasses.replace(rest, max_tokens=100, seed=5) == sampling
    assert answer == Answer([*range(64), 7], "stop", 2, cached_tokens=2)


async def test_whoever_watches_an_answer_sees_all_of_it(tmp_path):
    seen = []
    engine = Cut()
    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), False, continues=True)
    with pytest.raises(asyncio.CancelledError):
        await Checkpointed(engine, "main", checkpoint.begin(1)).generate([1], Sampling(seed=5), lambda *_: False)
    checkpoint.close(2)

    class Watched(Cut):
        async def generate(self, prompt, sampling, watch=None):
            assert watch([8, 9])
            return Answer([8, 9], "abort", len(prompt))

    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), False, continues=True)
    generator = Checkpointed(Watched(), "main", checkpoint.begin(1))
    answer = await generator.generate([1], Sampling(seed=5), lambda ids, text: seen.append(ids) or True)
    assert seen == [[*range(64), 8, 9]] and answer.token_ids == seen[0]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(seed=5, stop=("END",)),
        Sampling(seed=5, presence_penalty=0.5),
        Sampling(seed=5, repetition_penalty=1.1),
        Sampling(seed=5, choice=("a", "b")),
        Sampling(seed=5, logprob=True),
    ],
)
async def test_what_depends_on_where_the_answer_began_is_made_again(tmp_path, sampling):
    (prompt, rest), answer = await gone_on(tmp_path, sampling)
    assert prompt == [1, 2] and rest == sampling and list(answer.token_ids) == [7]


async def test_messages_are_asked_again(tmp_path):
    messages = [{"role": "user", "content": "Hello"}]
    (prompt, _), _ = await gone_on(tmp_path, Sampling(seed=5), messages)
    assert prompt == messages


def test_parts_need_the_journal_of_calls():
    with pytest.raises(ConfigError, match=r"continue_answers: .*; leave checkpoint_calls=false out"):
        parse(config().resolved | {"continue_answers": True, "checkpoint_calls": False})


def test_parts_that_do_not_go_on_from_those_before_are_of_no_use(tmp_path):
    checkpoint = CallJournal.open(tmp_path / "calls", "owner")
    for counted, ids in ((0, [1]), (1, [2, 3]), (7, [9]), (3, [4])):
        checkpoint.append([part(counted, ids)])
    assert list(CallJournal.open(tmp_path / "calls", "owner").take(1)[b"k"]["token_ids"]) == [1, 2, 3, 4]
    checkpoint = CallJournal.open(tmp_path / "calls", "owner")
    checkpoint.append([part(0, [5])])
    assert list(CallJournal.open(tmp_path / "calls", "owner").take(1)[b"k"]["token_ids"]) == [5]


def part(counted, token_ids):
    from synth.schedule.checkpoint import call_fields
    from synth.storage.calls import Call

    return Call(1, b"k", call_fields(Answer(token_ids, "stop", 0, counted=counted)) | {"finish_reason": None})
