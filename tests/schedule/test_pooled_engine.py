"""The engines of a model beside main, as a worker asks them. They are simulated, and die as they are told to."""

import asyncio
import itertools
from collections import Counter

import numpy as np
import pytest

from synth.engines import Answer, EngineError, EngineStats, Pooled, Sampling
from synth.records import Rejection
from synth.schedule import engine_pool, pooled_engine
from synth.schedule.engine_pool import EnginePool
from synth.schedule.engine_process import EngineCounters, EngineProcess, Facts, Reply
from synth.schedule.pooled_engine import MORTAL, SUSPICIOUS, PooledEngine
from synth.schedule.usage import UsageMeter
from synth.schedule.worker_handle import WorkerLost

FACTS = Facts(100, frozenset({"json"}))
DEADLY = [6, 6, 6]


class Mortal:
    """An engine that dies of one prompt, takes a moment for any other, and keeps what it was asked together."""

    concurrency, max_model_len, holds = 8, 100, frozenset({"json"})

    def __init__(self):
        self.dead, self.asked, self.together, self.running = False, [], [], 0

    def stats(self):
        return EngineStats(generated=None)

    async def generate(self, prompt, sampling):
        self.running += 1
        self.asked.append(list(prompt))
        try:
            await asyncio.sleep(0.01)
            self.together.append(self.running)
            if self.dead or list(prompt) == DEADLY:
                self.dead = True
                raise EngineError("out of memory")
            if list(prompt) == [0]:
                raise ValueError("no such token")
            return Answer([sampling.seed], "stop", len(prompt))
        finally:
            self.running -= 1


class Here(EngineProcess):
    """An engine's process without the process."""

    def __init__(self, engine):
        from synth.schedule.engine_process import Turnstile

        self._engine, self._meter, self._turnstile = engine, UsageMeter(engine), Turnstile()
        self._granted, self._grants, self._broken = {}, itertools.count(), asyncio.get_running_loop().create_future()
        self._leaving, self._answering = False, set()
        self._broken.add_done_callback(lambda future: future.exception())
        self.broken = self._broken


class Pool:
    """Engines that are replaced when they die, as a run does it."""

    def __init__(self, count, kind=Mortal):
        self.kind, self.engines = kind, []
        self.model, self.news = PooledEngine("judge"), itertools.count()
        self.there = {}
        for _ in range(count):
            self.add()

    def add(self):
        engine = self.kind()
        here = Here(engine)
        number = len(self.engines)
        self.engines.append(engine)
        self.there[number] = here
        self.tell()

        def replace(_):
            self.there.pop(number, None)
            self.add()

        here.broken.add_done_callback(replace)

    def tell(self):
        self.model.update(self.there, FACTS, next(self.news))

    async def ask(self, prompt, seed=0):
        return await self.model.generate(prompt, Sampling(seed=seed))


async def test_requests_go_to_the_engine_with_the_least_to_do():
    pool = Pool(3)
    await asyncio.gather(*(pool.ask([one]) for one in range(1, 10)))
    assert [len(engine.asked) for engine in pool.engines] == [3, 3, 3]


async def test_what_an_engine_had_when_it_died_is_answered_by_another_with_the_same_seed():
    pool = Pool(2)
    asking = [asyncio.create_task(pool.ask([5], seed)) for seed in range(6)]
    await asyncio.sleep(0)
    pool.engines[0].dead = True
    answers = await asyncio.gather(*asking)
    assert [list(answer.token_ids) for answer in answers] == [[seed] for seed in range(6)]
    assert len(pool.engines) == 3


async def test_what_an_engine_that_leaves_has_not_answered_another_answers_and_nobody_suspects_the_request():
    pool = Pool(1)
    asking = [asyncio.create_task(pool.ask([5], seed)) for seed in range(6)]
    for number in range(SUSPICIOUS + 1):
        await asyncio.sleep(0.002)
        pool.add()
        await pool.there[number].leave()
    answers = await asyncio.gather(*asking)
    assert [list(answer.token_ids) for answer in answers] == [[seed] for seed in range(6)]
    assert max(pool.engines[-1].together) > 1  # alone is what a suspicious one would be


async def test_before_there_is_an_engine_requests_wait_and_what_it_holds_is_known_with_the_first():
    pool = Pool(0)
    asking = asyncio.create_task(pool.ask([5], 3))
    ready = asyncio.create_task(pool.model.ready())
    await asyncio.sleep(0.01)
    assert not asking.done() and not ready.done()
    pool.add()
    await ready
    assert list((await asking).token_ids) == [3]
    assert (pool.model.max_model_len, pool.model.holds) == (100, {"json"})


async def test_a_request_that_engines_die_of_is_poison_and_costs_no_other_its_answer():
    pool = Pool(2)
    asking = [pool.ask([5], seed) for seed in range(20)]
    with pytest.raises(Rejection) as caught:
        answers = asyncio.gather(*asking)
        await pool.ask(DEADLY)
    assert caught.value.reason == "poison" and "out of memory" in caught.value.detail
    assert [list(one.token_ids) for one in await answers] == [[seed] for seed in range(20)]
    killers = [engine for engine in pool.engines if DEADLY in engine.asked]
    assert len(killers) == SUSPICIOUS + MORTAL
    assert all(engine.together[-1] == 1 for engine in killers[SUSPICIOUS:])


async def test_a_request_that_is_refused_says_why_and_the_engine_goes_on():
    pool = Pool(1)
    with pytest.raises(ValueError, match="no such token"):
        await pool.ask([0])
    assert list((await pool.ask([5], 1)).token_ids) == [1]
    assert len(pool.engines) == 1


async def test_an_engine_that_was_kept_for_a_request_which_never_comes_takes_others_again(monkeypatch):
    monkeypatch.setattr("synth.schedule.engine_process.GRANTED_S", 0.02)
    here = Here(Mortal())
    granted = await here.alone()
    assert (await here.ask([5], Sampling(seed=2))).answer.token_ids == [2]
    assert (await here.ask([5], Sampling(seed=2), granted)).answer is None  # too late, and to come again
    again = await here.alone()
    assert again != granted and (await here.ask([5], Sampling(seed=3), again)).answer.token_ids == [3]


class Sums:
    """A pooling engine that dies of one prompt."""

    concurrency, max_model_len, task = 8, 100, "score"

    def __init__(self):
        self.dead = False

    def stats(self):
        return EngineStats(generated=0)

    async def pool(self, prompt):
        await asyncio.sleep(0.01)
        if self.dead or list(prompt) == DEADLY:
            self.dead = True
            raise EngineError("out of memory")
        return Pooled(np.asarray([sum(prompt)], np.float32), len(prompt))


async def test_a_pooling_engine_is_shared_replaced_and_counted_as_any_other():
    pool = Pool(2, Sums)
    asking = [asyncio.create_task(pool.model.pool([n, n])) for n in range(8)]
    await asyncio.sleep(0)
    pool.engines[0].dead = True
    assert [float(one.values[0]) for one in await asyncio.gather(*asking)] == [2.0 * n for n in range(8)]
    assert len(pool.engines) == 3
    with pytest.raises(Rejection, match="poison"):
        await pool.model.pool(DEADLY)
    result = [await one.counters() for one in pool.there.values()]
    assert sum(one.completion_tokens for one in result) == 0
    await pool.model.pool([1, 2, 3])
    read = sum([(await one.counters()).prompt_tokens for one in pool.there.values()])
    assert read == sum(one.prompt_tokens for one in result) + 3


class Away:
    """An engine that does not answer for a while, and has not gone."""

    def __init__(self, failures):
        self.calls, self.failures = 0, failures

    async def ask(self, prompt, sampling, granted=None):
        self.calls += 1
        if self.calls <= self.failures:
            raise WorkerLost("its process ended: unavailable")
        return Reply(Answer([sampling.seed], "stop", 1), 0)

    async def alone(self):
        return 0


async def test_an_engine_that_seems_lost_is_left_alone_while_there_are_others():
    pool, away = Pool(1), Away(10**6)
    pool.there[7] = away
    pool.tell()
    for _ in range(2):
        await asyncio.gather(*(pool.ask([5], seed) for seed in range(4)))
        pool.tell()
    assert 0 < away.calls <= 2


async def test_an_engine_that_only_seemed_lost_and_is_the_only_one_is_asked_again(monkeypatch):
    monkeypatch.setattr(pooled_engine, "ASIDE_S", 0.02)
    model = PooledEngine("judge")
    model.update({0: Away(2)}, FACTS, 0)
    assert (await model.generate([5], Sampling(seed=4))).token_ids == [4]


async def test_news_that_come_late_are_not_believed():
    model, engine = PooledEngine("judge"), Away(0)
    model.update({1: engine}, FACTS, 2)
    model.update({0: Away(10**6)}, FACTS, 1)
    assert (await model.generate([5], Sampling(seed=4))).token_ids == [4]


class Process:
    """The process of an engine that dies as soon as it is there, after `answers` tokens."""

    def __init__(self, answers):
        self.answers, self.killed = answers, False
        self.actor = object()

    async def make(self, timeout_s): ...

    async def call(self, method):
        if method == "start":
            return FACTS
        if method == "counters":
            return EngineCounters(0, 0, self.answers, 0.0, EngineStats())
        await asyncio.sleep(0.01)
        raise WorkerLost("its process ended")

    async def kill(self):
        self.killed = True


def pool(processes, replicas=1):
    """Of engines that die one after the other; each is asked for its counters before."""
    made = []

    def spawn(number, node):
        made.append(Process(processes(number)))
        return made[-1]

    pool = EnginePool(
        "judge", Counter({None: replicas}), spawn, 5.0, lambda: asking.append(asyncio.ensure_future(pool.at_work()))
    )
    asking = []
    return pool, made


async def test_engines_that_die_without_an_answer_are_given_up_and_with_the_last_of_them_the_model(monkeypatch):
    monkeypatch.setattr(engine_pool, "PAUSE_S", 0.0)
    judge, made = pool(lambda number: 0, replicas=2)
    with pytest.raises(EngineError, match=r"^models.judge: its process ended$"):
        await judge.run()
    assert len(made) == 2 * engine_pool.MAX_FAILURES and all(one.killed for one in made)


async def test_engines_that_die_after_they_have_answered_are_replaced_for_as_long_as_it_takes(monkeypatch):
    monkeypatch.setattr(engine_pool, "PAUSE_S", 0.0)
    judge, made = pool(lambda number: 7)
    running = asyncio.create_task(judge.run())
    while len(made) < 3 * engine_pool.MAX_FAILURES:
        await asyncio.sleep(0.01)
        assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await judge.at_work()).completion_tokens >= 7 * 2 * engine_pool.MAX_FAILURES


class Answering(Process):
    """One that runs for good. It has requests until it is `done`."""

    def __init__(self, done=False):
        super().__init__(1)
        self.done, self.left = done, False

    async def call(self, method):
        if method == "counters":
            return EngineCounters(0, 0, 0, 0.0, EngineStats(running=int(not self.done)))
        if method == "serve":
            await asyncio.Event().wait()
        self.left = self.left or method == "leave"
        return FACTS


async def test_a_pool_that_is_resized_has_engines_on_the_nodes_that_are_named(monkeypatch):
    monkeypatch.setattr(engine_pool, "DRAIN_INTERVAL_S", 0.0)
    made = []

    def spawn(number, node):
        made.append((node, Answering(done=True)))
        return made[-1][1]

    judge = EnginePool("judge", Counter({"a": 1, "b": 2}), spawn, 5.0, lambda: None)
    running = asyncio.create_task(judge.run())
    await until(lambda: len(judge.running) == 3)
    judge.resize(Counter({"b": 1, "c": 2}))
    await until(lambda: [node for node, one in made if not one.killed] == ["b", "c", "c"] and len(judge.running) == 3)
    assert judge.wanted == 3 and [node for node, one in made if one.killed] == ["a", "b"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all(one.killed for _, one in made)


async def test_an_engine_that_leaves_is_asked_nothing_more_and_answers_what_it_has(monkeypatch):
    monkeypatch.setattr(engine_pool, "DRAIN_INTERVAL_S", 0.0)
    made, told = [], []

    def spawn(number, node):
        made.append(Answering())
        return made[-1]

    judge = EnginePool("judge", Counter({"a": 2}), spawn, 5.0, lambda: told.append(set(judge.running)))
    running = asyncio.create_task(judge.run())
    await until(lambda: len(judge.running) == 2)
    judge.resize(Counter({"a": 1}))
    await until(lambda: len(told[-1]) == 1)
    [leaving] = {0, 1} - told[-1]
    await asyncio.sleep(0.05)
    assert not made[leaving].killed
    made[leaving].done = True
    await until(lambda: made[leaving].killed)
    assert made[leaving].left
    assert not made[1 - leaving].killed and len(judge.reserved) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(true):
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)
