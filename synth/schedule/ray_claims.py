"""The claims as workers reach them, in a process of their own (see shared.py)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from synth.quality.duplicates import Duplicates
from synth.records import Claim, Duplicate, Place, Shard
from synth.schedule.claims import SettlingClaims
from synth.schedule.shared import SharedProcess

_CALLS = 10_000  # every shard that waits to be settled is one


class RayClaims:
    """SettledClaims that are kept in a Ray actor. Goes to other processes by pickle."""

    def __init__(
        self, duplicates: Mapping[str, Duplicates], run_dir: Path, fingerprint: str, shards: Iterable[Shard] = ()
    ):
        given = (dict(duplicates), run_dir, fingerprint, list(shards))
        self._process = SharedProcess("claims", SettlingClaims, *given, calls=_CALLS)

    async def start(self) -> None:
        """Returns when it is there, with all that was settled read."""
        await self._process.call("start")

    async def claim(self, claim: Claim) -> Place | None:
        like: Place | None = await self._process.call("claim", claim)
        return like

    async def settle(self, shard: Shard, claims: Sequence[Claim]) -> list[Duplicate]:
        duplicates: list[Duplicate] = await self._process.call("settle", shard, list(claims))
        return duplicates

    def kill(self) -> None:
        self._process.kill()
