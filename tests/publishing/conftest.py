import fsspec
import pytest

from tests.publishing.runs import FailingDisk, FailingStore


@pytest.fixture(autouse=True)
def stores():
    """`failing://` and `failing-disk://` are stores in memory that fail when they are told to."""
    for name, store in (("failing", FailingStore), ("failing-disk", FailingDisk)):
        fsspec.register_implementation(name, store, clobber=True)
        store.reset()
    yield
    for store in (FailingStore, FailingDisk):
        store.reset()
