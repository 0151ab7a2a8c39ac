"""Where rows are published: a dataset on the Hub, or a folder in any store of fsspec.

Promises: a file is there whole or not at all, under its name. On the Hub all files of one `write` come at once, in one
commit; in a store one after another, in the order given. Credentials are the client's: none is taken, none is written.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from synth.errors import reason
from synth.paths import local_path
from synth.storage.hub import Unpushable, dataset_name, make_ready
from synth.storage.run_folder import sync_folder

HUB = "hub:"
# Their files appear when they are complete. Elsewhere a file is written under another name and renamed.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "tos", "memory"}
Content = bytes | Path


class Unpublishable(ValueError):
    """A destination that can't be used. The message is one line that names it and the reason."""


class Destination(Protocol):
    """`loads_by` is what its dataset is loaded by. Methods raise whatever their client raises."""

    loads_by: str
    writes_at_once: bool

    def prepare(self) -> None:
        """Find out whether it can be used at all, and create it if it can be created."""

    def names(self) -> list[str]:
        """The files in it and in its folder `data`."""

    def read(self, name: str) -> bytes: ...

    def write(self, files: Mapping[str, Content], delete: Sequence[str] = ()) -> None: ...


def checked(given: str) -> str:
    """The destination's name as it is used from here on. Raises ValueError."""
    if given.startswith(HUB):
        return HUB + dataset_name(given.removeprefix(HUB))
    if "://" not in given:
        if not given.startswith(("/", "./", "../", "~")):
            raise ValueError(
                "must be hub:user/name, a URL such as s3://bucket/folder, or a path that begins with / or ./"
            )
        return os.path.abspath(local_path(given))
    parts = urlsplit(given)
    if parts.scheme == "hf":
        raise ValueError("must be hub:user/name for a dataset on the Hub")
    if "@" in parts.netloc or parts.query:
        raise ValueError("must have no user, password or query, as it is written into the run's folder")
    try:
        fsspec.get_filesystem_class(parts.scheme)
    except (ValueError, ImportError) as error:
        raise ValueError(reason(error)) from None
    return given.rstrip("/")


def local_folder(checked: str) -> Path | None:
    """The folder that a checked destination is on this machine; None if it is elsewhere."""
    if checked.startswith(HUB) or ("://" in checked and not checked.startswith(("file://", "local://"))):
        return None
    return Path(fsspec.core.strip_protocol(checked))


def destination(checked: str) -> Destination:
    """Raises Unpublishable."""
    if checked.startswith(HUB):
        return HubDataset(checked.removeprefix(HUB))
    try:
        return Store(checked)
    except Exception as error:  # of any store's client
        raise Unpublishable(f"{checked}: {reason(error)}") from None


def is_passing(error: BaseException) -> bool:
    """Whether a failure may be over in a while: an unreachable server, or one that is busy."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return bool(status >= 500 or status in (408, 429))
    names = [one.__name__ for one in type(error).__mro__]
    return isinstance(error, ConnectionError | TimeoutError) or any(
        "Connect" in name or "Timeout" in name for name in names
    )


class Store:
    """A folder in a store of fsspec, by its URL or path."""

    writes_at_once = False

    def __init__(self, url: str):
        self._system, path = fsspec.core.url_to_fs(url)
        self._path = path.rstrip("/")
        self._is_local = isinstance(self._system, LocalFileSystem)
        self.loads_by = self._path if self._is_local else url

    def prepare(self) -> None:
        pass

    def names(self) -> list[str]:
        self._system.invalidate_cache()
        found: list[str] = []
        for folder in ("", "data/"):
            with suppress(FileNotFoundError):
                paths = self._system.ls(f"{self._path}/{folder}".rstrip("/"), detail=False)
                found += [folder + path.rstrip("/").rpartition("/")[2] for path in paths]
        return sorted(found)

    def read(self, name: str) -> bytes:
        content: bytes = self._system.cat_file(f"{self._path}/{name}")
        return content

    def write(self, files: Mapping[str, Content], delete: Sequence[str] = ()) -> None:
        """What goes goes first, so that no row is there twice; then data before its index, which never names what has
        not arrived."""
        for name in delete:
            with suppress(FileNotFoundError):
                self._system.rm_file(f"{self._path}/{name}")
        for name in sorted(files, key=lambda name: not name.startswith("data/")):
            self._put(f"{self._path}/{name}", files[name])

    def _put(self, target: str, content: Content) -> None:
        protocols = self._system.protocol
        if OBJECT_STORES & ({protocols} if isinstance(protocols, str) else set(protocols)):
            self._send(target, content)
            return
        folder, _, name = target.rpartition("/")
        self._system.makedirs(folder, exist_ok=True)
        unfinished = f"{folder}/.{name}.unfinished"
        self._send(unfinished, content)
        if not self._is_local:
            self._system.mv(unfinished, target)
            return
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
        sync_folder(Path(folder))

    def _send(self, target: str, content: Content) -> None:
        if isinstance(content, bytes):
            self._system.pipe_file(target, content)
        else:
            self._system.put_file(str(content), target)


class HubDataset:
    """A dataset on the Hub. One that is created is private; one that exists keeps its visibility."""

    writes_at_once = True

    def __init__(self, name: str):
        self.loads_by = name

    def prepare(self) -> None:
        try:
            make_ready(self.loads_by)
        except Unpushable as error:
            raise Unpublishable(f"{HUB}{self.loads_by}: {error}") from None

    def names(self) -> list[str]:
        return sorted(self._api.list_repo_files(self.loads_by, repo_type="dataset"))

    def read(self, name: str) -> bytes:
        from huggingface_hub.errors import LocalEntryNotFoundError

        with tempfile.TemporaryDirectory(prefix="synth-") as folder:
            try:
                path = self._api.hf_hub_download(self.loads_by, name, repo_type="dataset", local_dir=folder)
            except LocalEntryNotFoundError as error:
                raise ConnectionError(reason(error)) from error
            return Path(path).read_bytes()

    def write(self, files: Mapping[str, Content], delete: Sequence[str] = ()) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        operations: list[Any] = [CommitOperationAdd(name, content) for name, content in files.items()]
        operations += [CommitOperationDelete(name) for name in delete]
        self._api.create_commit(self.loads_by, operations, commit_message="Made by Synth", repo_type="dataset")

    @property
    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi()
