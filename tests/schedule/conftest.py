"""Workers that a test starts, on folders and engines of its own."""

import dataclasses

import pytest

from synth.schedule.worker import Worker


@pytest.fixture
def start_worker(started):
    """Starts workers, which are stopped in the end: `start_worker(config, engine, folder)` gives one."""

    async def start_worker(config, engine, folder):
        folder.make()
        worker = Worker(dataclasses.replace(config, engine=engine), folder.path, "fingerprint")
        await worker.start()
        started.append(worker)
        return worker

    return start_worker
