"""Publishes a run's rows beside the run, and the rest at its end (synth/publishing).

Promises: a failure neither ends the run nor slows it: it is logged once, and tried again after longer and longer
pauses. What is left when the run is stopped is published by the next start, or by python -m synth.export RUN_DIR
--publish DESTINATION.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable

from synth.configuration.config import Config
from synth.errors import ConfigError
from synth.exit_codes import DONE, FAILED, TOO_FEW
from synth.publishing.destinations import Unpublishable
from synth.publishing.publisher import Publisher
from synth.records import as_read, dataset_schema
from synth.schedule.background import asked
from synth.storage.hub import one_line
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder

log = logging.getLogger(__name__)

POLL_S = 5.0
LONGEST_PAUSE_S = 300.0
PAUSES_S = (1.0, 5.0, 20.0)  # between the tries at the end


def publisher_of(config: Config, folder: RunFolder, manifest: Manifest) -> Publisher | None:
    """The publisher of a run, None without `publish`. Checks the destination by reading only. Raises ConfigError."""
    to = config.settings.publish
    if to is None:
        return None
    try:
        publisher = Publisher(folder, to, as_read(dataset_schema(config.strategy.columns)))
        publisher.check(manifest.wanted)
    except Unpublishable as error:
        raise ConfigError(f"publish: {error}") from None
    return publisher


async def begin(publisher: Publisher, manifest: Manifest) -> int:
    """Test that the destination can be written to. Returns the number of rows there. Raises ConfigError."""
    there = manifest.snapshot()
    try:
        await asked(lambda: publisher.begin(there), None)
    except Unpublishable as error:
        raise ConfigError(f"publish: {error}") from None
    return publisher.rows


def finish(publisher: Publisher, folder: RunFolder, manifest: Manifest, code: int) -> int:
    """Publish the rest of a run that ended with `code`. Returns `code`, or FAILED if only this failed."""
    if code not in (DONE, TOO_FEW):
        return code
    print(f"publishing to {publisher.to}", file=sys.stderr)
    if reason := publish_rest(publisher, manifest, folder.card.read_text("utf-8") if code == DONE else None):
        again = f"run python -m synth.export {folder.path} --publish {publisher.to} to continue"
        print(f"not all rows are published: {reason}; nothing is lost, {again}", file=sys.stderr)
        return FAILED if code == DONE else code
    print(f"{publisher.rows:,} rows are published at {publisher.to}", file=sys.stderr)
    return code


async def keep_published(publisher: Publisher, snapshot: Callable[[], Manifest]) -> None:
    """Publish what is final again and again, until cancelled. An upload in progress then goes on, and the next call of
    the publisher waits for it."""
    logged: set[str] = set()
    pause = POLL_S
    while True:
        await asyncio.sleep(pause)
        manifest = snapshot()
        try:
            await asked(lambda manifest=manifest: publisher.advance(manifest), None)  # type: ignore[misc]
            pause = POLL_S
        except Exception as error:  # of a destination's client
            pause = min(2 * pause, LONGEST_PAUSE_S)
            if (line := failure(publisher, error)) not in logged:
                log.warning("publish: %s; the run goes on, and it is tried again", line)
            logged.add(line)


def publish_rest(
    publisher: Publisher,
    manifest: Manifest,
    card: str | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Publish all that is final, with the `card` of a finished run. Returns the reason if that fails."""
    for pause in (*PAUSES_S, None):
        try:
            publisher.advance(manifest, last=True, card=card)
            return None
        except Exception as error:  # of a destination's client
            if pause is None or isinstance(error, Unpublishable):
                return failure(publisher, error)
            sleep(pause)
    return None


def failure(publisher: Publisher, error: Exception) -> str:
    """The error in one line."""
    return str(error) if isinstance(error, Unpublishable) else f"{publisher.to}: {one_line(error)}"
