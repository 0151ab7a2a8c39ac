"""The price of a server's tokens."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Price:
    """Per million tokens, in any currency. `cached` is the price of prompt tokens from the server's cache; None: that
    of other prompt tokens."""

    prompt: Amount
    completion: Amount
    cached: Amount | None = None

    def of(self, prompt_tokens: float, cached_tokens: float, completion_tokens: float) -> float:
        """`prompt_tokens` includes `cached_tokens`."""
        cached = self.prompt if self.cached is None else self.cached
        read = (prompt_tokens - cached_tokens) * self.prompt + cached_tokens * cached
        return (read + completion_tokens * self.completion) / 1e6
