"""Lazy loading of what a filter needs: a model, an index.

Promises: it is loaded once per process, at the first use and in a thread, while other records go on. If it can't be
loaded, no record is to blame and a retry would fail too: the run ends with its finished records safe.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from synth.engines import Unusable
from synth.own_time import ours

T = TypeVar("T")


class Loaded(Generic[T]):
    """`await loaded.get()`. `load` is called in the process that uses it, which may differ from the one that made
    it."""

    def __init__(self, name: str, load: Callable[[], T]):
        self._name, self._load = name, load
        self._loading: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """Raises Unusable."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        try:
            with ours():
                return await asyncio.shield(self._loading)  # cancelling one record must not cancel it for others
        except Exception as error:
            reason = " ".join(str(error).split()) or repr(error)
            raise Unusable(f"{self._name} can't be loaded: {reason}") from error

    @property
    def there(self) -> T | None:
        """None if it is not loaded yet."""
        loading = self._loading
        return loading.result() if loading and loading.done() and not loading.exception() else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loading": None}
