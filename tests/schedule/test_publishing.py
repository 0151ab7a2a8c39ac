"""Publishing beside a run: failures are told once and tried again, and never end it."""

import asyncio
import threading

import pytest

from synth.exit_codes import DONE, FAILED, STOPPED, TOO_FEW
from synth.publishing.destinations import Unpublishable
from synth.schedule import publishing
from synth.schedule.background import beside
from synth.schedule.publishing import finish, keep_published, publish_rest
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder

NOTHING = Manifest({}, {}, {}, num_records=None)


class FakePublisher:
    """Fails with these errors, one a call, and then succeeds. `enough` is set after so many calls."""

    to, rows = "fake://there", 7

    def __init__(self, *errors, enough=0):
        self.errors, self.calls, self.enough = list(errors), [], enough
        self.done = asyncio.Event()
        self.loop = None

    def advance(self, manifest, *, last=False, card=None):
        self.calls.append((last, card))
        if len(self.calls) == self.enough:
            self.loop.call_soon_threadsafe(self.done.set)
        if self.errors:
            raise self.errors.pop(0)


async def test_each_kind_of_failure_is_told_once_and_publishing_goes_on(monkeypatch, caplog):
    monkeypatch.setattr(publishing, "POLL_S", 0.0)
    publisher = FakePublisher(*[OSError("slow")] * 3, ConnectionError("gone"), OSError("slow"), enough=7)
    publisher.loop = asyncio.get_running_loop()
    await beside(publisher.done.wait(), keep_published(publisher, NOTHING.snapshot))
    assert [record.getMessage() for record in caplog.records] == [
        "publish: fake://there: slow; the run goes on, and it is tried again",
        "publish: fake://there: gone; the run goes on, and it is tried again",
    ]


async def test_an_upload_that_hangs_does_not_keep_a_run_from_its_end(monkeypatch):
    monkeypatch.setattr(publishing, "POLL_S", 0.0)
    publisher, never = FakePublisher(enough=1), threading.Event()
    publisher.loop = asyncio.get_running_loop()
    advance = publisher.advance
    monkeypatch.setattr(publisher, "advance", lambda manifest: (advance(manifest), never.wait()))
    async with asyncio.timeout(60) as bound:
        await beside(publisher.done.wait(), keep_published(publisher, NOTHING.snapshot))
    assert not bound.expired()
    never.set()


def test_the_rest_is_tried_several_times_after_longer_and_longer_pauses():
    pauses = []
    publisher = FakePublisher(*[OSError("slow")] * 3)
    assert publish_rest(publisher, NOTHING, "card", sleep=pauses.append) is None
    assert publisher.calls == [(True, "card")] * 4 and pauses == sorted(pauses) and len(pauses) == 3
    assert publish_rest(FakePublisher(*[OSError("slow")] * 9), NOTHING, sleep=pauses.append) == "fake://there: slow"


def test_what_is_refused_is_not_tried_again():
    publisher = FakePublisher(Unpublishable("fake://there: has data of others"))
    assert publish_rest(publisher, NOTHING, sleep=pytest.fail) == "fake://there: has data of others"


@pytest.mark.parametrize(("code", "after"), [(DONE, FAILED), (TOO_FEW, TOO_FEW), (STOPPED, STOPPED), (FAILED, FAILED)])
def test_the_exit_code_tells_of_rows_that_are_not_published_only_where_the_run_has_succeeded(
    tmp_path, code, after, capsys
):
    folder = RunFolder(tmp_path)
    folder.card.write_text("card")
    assert finish(FakePublisher(Unpublishable("fake://there: no")), folder, NOTHING, code) == after
    output = capsys.readouterr().err
    assert (f"run python -m synth.export {tmp_path} --publish fake://there to continue" in output) is (
        code in (DONE, TOO_FEW)
    )
    assert finish(FakePublisher(), folder, NOTHING, code) == code
