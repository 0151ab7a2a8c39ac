"""Assigns each engine of a run with several models on whole GPUs to a node.

Ray spreads actors over nodes, and a node with seven free GPUs has no capacity for an engine of eight. So nodes are
chosen here by best fit, and passed to Ray. A lost engine is restarted on its node.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from synth.schedule.balance import Shift


@dataclass(frozen=True)
class Share:
    """What a model needs: engines of `gpus` GPUs each, `least` of them, and more if it may `grow`."""

    gpus: float
    least: int
    grow: bool


class Places:
    """`at` counts the engines of each model on each node."""

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
        """The current nodes with their GPUs. Engines of lost nodes are placed again; free GPUs go to `first`, if it may
        grow, then to other models that may. Returns the name of a model that no node has capacity for, else None."""
        self._nodes = dict(nodes)
        for on in self.at.values():
            for node in [node_id for node_id in on if node_id not in nodes]:
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
        """Apply a shift as often as there is capacity. Returns how often that was."""
        return next((done for done in range(shift.blocks) if not self._shifted(shift)), shift.blocks)

    def _free(self, node: str) -> float:
        return self._nodes[node] - sum(on[node] * self._shares[name].gpus for name, on in self.at.items())

    def _put(self, name: str) -> bool:
        """Add an engine on the fullest node with capacity for it."""
        gpus = self._shares[name].gpus
        fitting = [node for node in self._nodes if self._free(node) >= gpus]
        if fitting:
            self.at[name][min(fitting, key=self._free)] += 1
        return bool(fitting)

    def _make_way(self, name: str) -> bool:
        """Add an engine in place of engines of a model that has more than its least number."""
        growing = [(one, other) for one, other in self._shares.items() if other.grow and one != name]
        return any(
            self._exchange(one, name, self._shares[name].gpus, keep=other.least)
            for one, other in sorted(growing, key=lambda pair: -self.count(pair[0]))
        )

    def _shifted(self, shift: Shift) -> bool:
        block = max(self._shares[shift.giver].gpus, self._shares[shift.taker].gpus)
        return self._exchange(shift.giver, shift.taker, block, keep=1)

    def _exchange(self, giver: str, taker: str, gpus: float, keep: int) -> bool:
        """Move so many GPUs to the taker, on the node where the fewest engines have to go."""
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
