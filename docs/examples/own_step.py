"""A step of your own: rewrites the answer in one of several tones. strategy/own_step.yaml has it in a chain."""

from dataclasses import dataclass

from synth import Rejection, Sampling


@dataclass(frozen=True, kw_only=True)
class Tone:
    """Draws one of `tones` for each record and asks for the answer in it."""

    tones: tuple[str, ...] = ("friendly", "formal")
    max_tokens: int = 512

    columns = {"tone": "string"}
    rejections = ("cut",)

    def needs(self):
        return [("response",)]

    def calls(self):
        return [Sampling(temperature=0.0, max_tokens=self.max_tokens)]

    async def __call__(self, record, llm):
        tone = llm.rng.choice(self.tones)  # not `random`: the same seed gives the same dataset
        asked = f"Rewrite this answer in a {tone} tone. Give the answer alone.\n\n{record['response']}"
        answer = await llm.chat(asked, temperature=0.0, max_tokens=self.max_tokens)
        if answer.finish_reason == "length":
            return Rejection("cut", record=record)
        return record | {"response": answer.text, "tone": tone}
