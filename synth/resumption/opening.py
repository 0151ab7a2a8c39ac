"""How a run comes to have its folder, which is looked at, locked and read, and left as it is until the run begins.

Promises: a run that is refused, for whatever reason, leaves all that was there as it was, and nothing new. What has to
be written before that is known, such as the rows of a source, stands under names of its own until then.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from omegaconf import OmegaConf

from synth.configuration.config import Config, ConfigError, Settings
from synth.resumption.resume import manifest_of
from synth.resumption.slices import drop_taken, take_over
from synth.sources.store import Contents, stored
from synth.storage.manifest import Manifest
from synth.storage.new_paths import NewPaths
from synth.storage.run_folder import InUse, RunFolder, atomic_write
from synth.storage.shard import discard


class Opened(NamedTuple):
    """`begin` writes into the folder what the run is: from then on it is its own. Raises ConfigError and OSError."""

    folder: RunFolder
    manifest: Manifest
    contents: Contents
    begin: Callable[[], None]


@contextmanager
def opened(config: Config) -> Iterator[Opened]:
    """The run's folder for the time of the context. Raises ConfigError."""
    settings = config.settings
    folder = RunFolder(settings.run_dir)
    refuse_foreign(settings)
    shared = RunFolder(settings.output_dir).source if settings.slice else None
    with (
        _told(folder),
        NewPaths() as new_folders,
        _locked(folder, settings, new_folders),
        NewPaths() as new_files,  # they go while the lock is held, and folders after that
        stored(config.source, folder.source, shared, new_files) as (contents, commit),
        ExitStack() as ready,
    ):
        manifest = manifest_of(folder, config, contents)
        # On disk before anything starts, and under its name when that has gone well.
        unfinished = ready.enter_context(atomic_write(new_files.file(folder.config)))
        unfinished.write_text(OmegaConf.to_yaml(OmegaConf.create(config.resolved)))

        def begin() -> None:
            with _told(folder):
                new_files.folder(folder.shards)
                new_files.folder(folder.logs)
                commit()
                ready.close()
                new_files.file(folder.manifest)
                slices = take_over(folder, manifest)
            new_folders.keep()
            new_files.keep()
            for part in (folder, *folder.slices().values()):
                part.clear()
            if slices:
                print(f"slices taken over: {slices}", file=sys.stderr)
            drop_taken(folder)
            for shard in manifest.shards:
                summary = manifest.committed.get(shard.index)
                if summary is None:
                    discard(folder, shard.index)  # else what is damaged might count by the time the run goes on again
                elif summary.planned_stop is None and settings.checkpoint_calls != "keep":
                    folder.calls(shard.index).unlink(missing_ok=True)  # of a worker that was killed while it committed

        yield Opened(folder, manifest, contents, begin)


def refuse_foreign(settings: Settings) -> None:
    """Raises ConfigError where something is in the folder that a run would write over."""
    for folder in {settings.output_dir: None, settings.run_dir: None}:
        with _told(RunFolder(folder)):
            if foreign := RunFolder(folder).foreign():
                raise ConfigError(
                    f"output_dir: {folder} has {', '.join(foreign)} in it, but no run; choose another output_dir"
                )


@contextmanager
def _told(folder: RunFolder) -> Iterator[None]:
    """Errors of the file system as a refusal."""
    try:
        yield
    except InUse as error:
        raise ConfigError(f"output_dir: {error}") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"output_dir: {error.filename} is not a folder") from None
    except OSError as error:
        raise ConfigError(f"output_dir: {folder.path} can't be written to ({error.strerror or error})") from None


@contextmanager
def _locked(folder: RunFolder, settings: Settings, new: NewPaths) -> Iterator[None]:
    """Slices side by side share the whole run's folder. A single job has it alone, with all slices in it."""
    new.folder(folder.path)
    with ExitStack() as locks:
        if settings.slice is None:
            for part in folder.slices().values():
                locks.enter_context(part.locked(new=new))
        locks.enter_context(folder.locked(new=new))
        if settings.slice is not None:
            locks.enter_context(RunFolder(settings.output_dir).locked(shared=True, new=new))
        yield
