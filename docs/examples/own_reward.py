"""A reward model of your own: prefers answers of about so many words. strategy/own_reward.yaml makes pairs by it.

A model that scores takes the same form: load it at the first score, not in __init__. One that vLLM can load is a
model of the run instead (docs/models.md).
"""


class Brevity:
    def __init__(self, words: int = 60):
        if words < 1:
            raise ValueError("words: must be at least 1")
        self.words = words

    def score(self, messages: list[dict[str, str]]) -> float:
        """Higher is better. The last message is the response. May be async."""
        return -abs(len(messages[-1]["content"].split()) - self.words)
