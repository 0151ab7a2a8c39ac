"""What a filter has to load before it can judge: a model, an index.

Promises: it is loaded once in a process, at the first use and in a thread, while other records go on. A filter that
can't be loaded says nothing of any record, and another try would end the same: the run ends with what is finished safe.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from synth.engines import Unusable
from synth.own_time import ours

T = TypeVar("T")


class Loaded(Generic[T]):
    """`await loaded.get()`. `load` is called where that is, which may be another process than the one that made it."""

    def __init__(self, name: str, load: Callable[[], T]):
        self._name, self._load = name, load
        self._loading: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """Raises Unusable."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        try:
            with ours():
                return await asyncio.shield(self._loading)  # one record may be cancelled, the others wait on
        except Exception as error:
            reason = " ".join(str(error).split()) or repr(error)
            raise Unusable(f"{self._name} can't be loaded: {reason}") from error

    @property
    def there(self) -> T | None:
        """None where nobody has asked for it, or it is on its way."""
        loading = self._loading
        return loading.result() if loading and loading.done() and not loading.exception() else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loading": None}
