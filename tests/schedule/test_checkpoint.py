"""Finished calls of unfinished records outlive the worker that made them, and nothing else comes of a run for it."""

import asyncio
import shutil

import pytest

from synth.configuration.parsing import parse
from synth.engines import Answer, EngineError, Sampling
from synth.engines.simulated import Simulated
from synth.records import Shard
from synth.schedule import worker as module
from synth.schedule.checkpoint import LONG_S, Checkpoint, Checkpointed
from synth.storage.calls import CallJournal
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import FAST, config
from tests.storage.rows import shard_rows

ROUNDS = 6
SHARD = Shard(0, 0, 4)


async def rounds(record, llm):
    """A chain of calls, of which each prompt has the answer before in it."""
    text = "begin"
    for number in range(ROUNDS):
        answer = await llm.chat(f"{text} {llm.id} {number}", max_tokens=64)
        text = answer.text
        llm.note(text)
    return record | {"instruction": llm.id, "response": text}


class HungEngine(Simulated):
    """A simulated engine that gives no more answers after `answers` of them, or breaks then."""

    calls = answered = tokens = 0
    answers = 10**9
    breaks = False

    async def generate(self, prompt, sampling):
        self.calls += 1
        if self.calls > self.answers:
            if self.breaks:
                raise EngineError("scripted break")
            await asyncio.sleep(3600)
        answer = await super().generate(prompt, sampling)
        self.tokens += answer.completion_tokens
        self.answered += 1
        return answer


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(module, "JOURNAL_INTERVAL_S", 0.02)


@pytest.fixture
def start(tmp_path, start_worker):
    """`start(name, ...)` gives a worker on the folder of this name, and its engine."""

    async def start(name, checkpoint_calls=True, answers=10**9, breaks=False):
        resolved = config({"records_in_flight": 4}).resolved
        steps = [{"_target_": "tests.schedule.test_checkpoint.rounds"}]
        parsed = parse(resolved | {"strategy": {"name": "test", "steps": steps}, "checkpoint_calls": checkpoint_calls})
        engine = HungEngine(**FAST)
        engine.answers, engine.breaks = answers, breaks
        return await start_worker(parsed, engine, RunFolder(tmp_path / name)), engine

    return start


@pytest.fixture
async def undisturbed(start, tmp_path):
    worker, engine = await start("undisturbed")
    await worker.run(SHARD)
    assert engine.calls == ROUNDS * len(SHARD)
    return rows(tmp_path / "undisturbed"), engine


def rows(path):
    return shard_rows(RunFolder(path).shard(0))


def calls(path):
    return RunFolder(path).calls(0)


async def killed(worker, engine, path, copy):
    """What a kill leaves of a run whose engine hangs: all that is on disk by then."""
    await hung(worker, engine)
    shutil.copytree(path, copy)


async def hung(worker, engine):
    """The run of a shard, whose engine has given its last answer and whose journals are synced."""
    running = asyncio.create_task(worker.run(SHARD))
    while engine.answered < engine.answers:
        await asyncio.sleep(0.01)
    await worker.sync()
    return running


@pytest.mark.parametrize("answers", [1, 9, 14, 23])
async def test_after_a_kill_only_what_was_not_answered_is_asked_and_the_rows_are_the_same(
    start, tmp_path, undisturbed, answers
):
    expected, whole = undisturbed
    worker, engine = await start("killed", answers=answers)
    await killed(worker, engine, tmp_path / "killed", tmp_path / "again")
    second, further = await start("again")
    summary = await second.run(SHARD)
    assert rows(tmp_path / "again") == expected
    assert further.calls == whole.calls - answers
    assert engine.tokens + further.tokens == whole.tokens == summary.completion_tokens
    assert (await second.counters()).completion_tokens == further.tokens
    assert not calls(tmp_path / "again").exists()


async def test_a_kill_costs_all_of_it_where_calls_are_not_kept(start, tmp_path, undisturbed):
    expected, whole = undisturbed
    worker, engine = await start("killed", checkpoint_calls=False, answers=9)
    await killed(worker, engine, tmp_path / "killed", tmp_path / "again")
    assert not calls(tmp_path / "again").exists()
    second, further = await start("again", checkpoint_calls=False)
    await second.run(SHARD)
    assert rows(tmp_path / "again") == expected and further.calls == whole.calls


@pytest.mark.parametrize("chosen", [True, "auto"])
async def test_a_stop_keeps_every_finished_call_of_a_record_however_short_it_is(start, tmp_path, undisturbed, chosen):
    expected, whole = undisturbed
    worker, engine = await start("run", chosen, answers=9)
    running = await hung(worker, engine)
    assert calls(tmp_path / "run").exists() == (chosen is True)
    await worker.stop()
    assert await running is None
    second, further = await start("run", chosen)
    await second.run(SHARD)
    assert rows(tmp_path / "run") == expected and further.calls == whole.calls - 9


async def test_what_a_broken_engine_had_answered_is_not_asked_of_the_next_one(start, tmp_path, undisturbed):
    expected, whole = undisturbed
    worker, engine = await start("run", answers=9, breaks=True)
    with pytest.raises(EngineError):
        await worker.run(SHARD)
    second, further = await start("run")
    await second.run(SHARD)
    assert rows(tmp_path / "run") == expected
    assert engine.tokens + further.tokens <= whole.tokens + engine.tokens / 2
    assert further.calls < whole.calls


async def test_a_damaged_file_costs_calls_and_no_row(start, tmp_path, undisturbed, caplog):
    expected, whole = undisturbed
    worker, engine = await start("killed", answers=14)
    await killed(worker, engine, tmp_path / "killed", tmp_path / "again")
    path = calls(tmp_path / "again")
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 2, len(data) // 2 + 64)  # more than what is between two buffers
    data[middle] = bytes(byte ^ 0xFF for byte in data[middle])
    path.write_bytes(data)
    second, further = await start("again")
    await second.run(SHARD)
    assert rows(tmp_path / "again") == expected
    # Calls of records that were finished by then are of no use any more: there may be some of them in it.
    assert whole.calls - 14 <= further.calls <= whole.calls
    assert f"{path} is readable up to batch" in caplog.text


async def test_auto_writes_down_the_calls_of_records_that_run_for_long_and_no_others(tmp_path):
    clock = [0.0]
    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), is_auto=True, now=lambda: clock[0])
    engine = Said()
    old, short = checkpoint.begin(1), checkpoint.begin(2)
    await Checkpointed(engine, "main", old).generate([1], Sampling(seed=1))
    await Checkpointed(engine, "main", short).generate([2], Sampling(seed=2))
    clock[0] = LONG_S - 1
    checkpoint.sync()
    assert not (tmp_path / "calls").exists()
    checkpoint.end(2)
    young = checkpoint.begin(3)
    await Checkpointed(engine, "main", young).generate([3], Sampling(seed=3))
    clock[0] = LONG_S + 1
    checkpoint.sync()
    found = CallJournal.open(tmp_path / "calls", "owner")
    assert [len(found.take(number)) for number in (1, 2, 3)] == [1, 0, 0]


async def test_a_stop_writes_down_no_calls_of_records_that_are_not_needed(tmp_path):
    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), is_auto=True)
    for number in (1, 2):
        await Checkpointed(Said(), "main", checkpoint.begin(number)).generate([1], Sampling(seed=1))
    checkpoint.close(below=2)
    found = CallJournal.open(tmp_path / "calls", "owner")
    assert [len(found.take(number)) for number in (1, 2)] == [1, 0]


class Said:
    """An engine that answers with the prompt, up to where its watch ends that."""

    max_model_len = 100

    def __init__(self):
        self.asked = []

    async def generate(self, prompt, sampling, watch=None):
        self.asked.append(prompt)
        ended = watch is not None and watch(prompt)
        return Answer(list(prompt), "abort" if ended else "stop", len(prompt), logprob=-0.5)


def given_back(tmp_path, engine, model="main"):
    """The generator of a record that is made again."""
    return Checkpointed(engine, model, Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), False).begin(7))


@pytest.fixture
async def known(tmp_path):
    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), is_auto=False)
    await Checkpointed(Said(), "main", checkpoint.begin(7)).generate([1, 2], Sampling(seed=3, top_p=0.9))
    checkpoint.close(below=8)


async def test_the_same_call_is_given_back_once(tmp_path, known):
    engine = Said()
    generator = given_back(tmp_path, engine)
    answer = await generator.generate([1, 2], Sampling(seed=3, top_p=0.9))
    assert answer == Answer([1, 2], "stop", 2, logprob=-0.5) and engine.asked == []
    await generator.generate([1, 2], Sampling(seed=3, top_p=0.9))
    assert engine.asked == [[1, 2]]


@pytest.mark.parametrize(
    ("model", "prompt", "sampling"),
    [
        ("main", [1, 3], Sampling(seed=3, top_p=0.9)),
        ("main", [1, 2], Sampling(seed=4, top_p=0.9)),
        ("main", [1, 2], Sampling(seed=3, top_p=0.8)),
        ("judge", [1, 2], Sampling(seed=3, top_p=0.9)),
        ("main", [{"role": "user", "content": "1, 2"}], Sampling(seed=3, top_p=0.9)),
    ],
)
async def test_another_prompt_seed_sampling_or_model_is_another_call(tmp_path, known, model, prompt, sampling):
    engine = Said()
    await given_back(tmp_path, engine, model).generate(prompt, sampling)
    assert engine.asked == [prompt]


async def test_an_answer_that_was_ended_is_given_back_to_who_ends_it_again_only(tmp_path):
    checkpoint = Checkpoint(CallJournal.open(tmp_path / "calls", "owner"), is_auto=False)
    await Checkpointed(Said(), "main", checkpoint.begin(7)).generate([1], Sampling(seed=3), watch=lambda *_: True)
    checkpoint.close(below=8)
    for ends, asked in ((True, []), (False, [[1]])):
        engine = Said()
        answer = await given_back(tmp_path, engine).generate([1], Sampling(seed=3), watch=lambda *_, ends=ends: ends)
        assert engine.asked == asked and (answer.finish_reason == "abort") == ends
