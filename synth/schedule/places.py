"""Which node each engine of a run is on, where a run has several models on whole GPUs.

Ray spreads what it places, and a node with seven free GPUs has no room for an engine of eight. So the nodes are chosen
here, for each engine the one that it fills best, and Ray is told. An engine that is lost comes back to where it was.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from synth.schedule.balance import Shift


@dataclass(frozen=True)
class Share:
    """What a model wants: engines of `gpus` each, at `least` so many, and more where it may `grow`."""

    gpus: float
    least: int
    grow: bool


class Places:
    """`at` says how many engines of each model are on each node."""

    def __init__(self, shares: Mapping[str, Share]):
        self._shares = shares
        self._nodes: dict[str, float] = {}
        self.at: dict[str, Counter[str]] = {name: Counter() for name in shares}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and self.at == other.at

    def copy(self) -> "Places":
        other = Places(self._shares)
        other._nodes, other.at = dict(self._nodes), {name: Counter(on) for name, on in self.at.items()}
        return other

    def count(self, name: str) -> int:
        return self.at[name].total()

    def follow(self, nodes: Mapping[str, float], first: str) -> str | None:
        """These are the nodes by now, with their GPUs. What was on others is placed anew, and what is left goes to
        `first`, if it may grow, then to the others that may. Returns the name of a model for which there is no room."""
        self._nodes = dict(nodes)
        for on in self.at.values():
            for node in [one for one in on if one not in nodes]:
                del on[node]
        for name, share in sorted(self._shares.items(), key=lambda one: -one[1].gpus):
            while self.count(name) < share.least:
                if not (self._put(name) or self._make_way(name)):
                    return name
        growing = [name for name, share in self._shares.items() if share.grow]
        for name in sorted(growing, key=lambda name: name != first):
            while self._put(name):
                pass
        return None

    def shift(self, shift: Shift) -> int:
        """Make it so, as often as there is room. Returns how often that was."""
        return next((done for done in range(shift.blocks) if not self._shifted(shift)), shift.blocks)

    def _free(self, node: str) -> float:
        return self._nodes[node] - sum(on[node] * self._shares[name].gpus for name, on in self.at.items())

    def _put(self, name: str) -> bool:
        """One more, on the node that has the least room of those that have enough."""
        gpus = self._shares[name].gpus
        fitting = [node for node in self._nodes if self._free(node) >= gpus]
        if fitting:
            self.at[name][min(fitting, key=self._free)] += 1
        return bool(fitting)

    def _make_way(self, name: str) -> bool:
        """One more, in the place of engines of a model that has more than it has to have."""
        growing = [(one, other) for one, other in self._shares.items() if other.grow and one != name]
        return any(
            self._exchange(one, name, self._shares[name].gpus, keep=other.least)
            for one, other in sorted(growing, key=lambda pair: -self.count(pair[0]))
        )

    def _shifted(self, shift: Shift) -> bool:
        block = max(self._shares[shift.giver].gpus, self._shares[shift.taker].gpus)
        return self._exchange(shift.giver, shift.taker, block, keep=1)

    def _exchange(self, giver: str, taker: str, gpus: float, keep: int) -> bool:
        """On the node where the fewest have to go for it, so many GPUs are the taker's."""
        size, spare = self._shares[giver].gpus, self.count(giver) - keep
        going = {node: max(0, math.ceil((gpus - self._free(node)) / size)) for node in self._nodes}
        able = [node for node, count in going.items() if count <= min(spare, self.at[giver][node])]
        if not able:
            return False
        node = min(able, key=lambda node: (going[node], self._free(node)))
        self.at[giver][node] -= going[node]
        share = self._shares[taker]
        self.at[taker][node] += int(self._free(node) // share.gpus) if share.grow else 1
        return True
