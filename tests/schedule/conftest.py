"""Workers that a test starts, on folders and engines of its own."""

import dataclasses

import pytest

from synth.schedule.worker import Worker


@pytest.fixture
async def start_worker():
    """Starts workers and stops them in the end: `start_worker(config, engine, folder)` gives one."""
    started = []

    async def start_worker(config, engine, folder):
        folder.make()
        worker = Worker(dataclasses.replace(config, engine=engine), folder.path, "fingerprint")
        await worker.start()
        started.append(worker)
        return worker

    yield start_worker
    for worker in started:
        await worker.stop()
