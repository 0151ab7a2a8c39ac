"""Opens a run's folder: it is inspected, locked and read, and not changed until the run begins.

Promises: a run that is refused leaves everything as it was, and nothing new. What has to be written earlier, such as
the rows of a source, has a temporary name until then.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from omegaconf import OmegaConf

from synth.configuration.config import Config
from synth.configuration.settings import Settings
from synth.errors import ConfigError
from synth.resumption.resume import manifest_of
from synth.resumption.slices import drop_taken, take_over
from synth.sources.store import Contents, stored
from synth.storage.calls import drop_calls
from synth.storage.manifest import Manifest
from synth.storage.new_paths import NewPaths
from synth.storage.run_folder import InUse, RunFolder, atomic_write
from synth.storage.shard import discard


class Opened(NamedTuple):
    """`begin` makes the folder this run's: it writes the manifest. Raises ConfigError and OSError."""

    folder: RunFolder
    manifest: Manifest
    contents: Contents
    begin: Callable[[], None]


@contextmanager
def opened(config: Config) -> Iterator[Opened]:
    """The run's folder, open for the time of the context. Raises ConfigError."""
    settings = config.settings
    folder = RunFolder(settings.run_dir)
    refuse_foreign(settings)
    shared = RunFolder(settings.output_dir).source if settings.slice else None
    with (
        _as_config_error(folder),
        NewPaths() as new_folders,
        _locked(folder, settings, new_folders),
        NewPaths() as new_files,  # removed while the lock is held; folders after that
        stored(config.source, folder.source, shared, new_files) as (contents, commit),
        ExitStack() as ready,
    ):
        manifest = manifest_of(folder, config, contents)
        # Written before anything starts, and renamed when that has succeeded.
        unfinished = ready.enter_context(atomic_write(new_files.file(folder.config)))
        unfinished.write_text(OmegaConf.to_yaml(OmegaConf.create(config.resolved)))

        def begin() -> None:
            with _as_config_error(folder):
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
                print(f"merged slices into this run: {slices}", file=sys.stderr)
            drop_taken(folder)
            keeps = settings.checkpoint_calls == "keep"
            calls = set(folder.shards.glob("*.calls.arrow"))  # mostly none, of many shards
            for shard in manifest.shards:
                summary = manifest.committed.get(shard.index)
                if summary is None:
                    discard(folder, shard.index)  # else a damaged file might count at the next resume
                elif folder.calls(shard.index) in calls:  # perhaps left by a worker killed during its commit
                    drop_calls(folder, summary, keeps)

        yield Opened(folder, manifest, contents, begin)


def refuse_foreign(settings: Settings) -> None:
    """Raises ConfigError if the folder has files that a run would overwrite."""
    for folder in {settings.output_dir: None, settings.run_dir: None}:
        with _as_config_error(RunFolder(folder)):
            if foreign := RunFolder(folder).foreign():
                raise ConfigError(
                    f"output_dir: {folder} is no run folder and has {', '.join(foreign)}; choose another output_dir"
                )


@contextmanager
def _as_config_error(folder: RunFolder) -> Iterator[None]:
    """Turns errors of the file system into a ConfigError."""
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
    """Concurrent slices share the lock of the whole run's folder. A single job has it alone, with all slices in it."""
    new.folder(folder.path)
    with ExitStack() as locks:
        if settings.slice is None:
            for part in folder.slices().values():
                locks.enter_context(part.locked(new=new))
        locks.enter_context(folder.locked(new=new))
        if settings.slice is not None:
            locks.enter_context(RunFolder(settings.output_dir).locked(shared=True, new=new))
        yield
