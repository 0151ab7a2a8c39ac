"""Which model answers, and how its chat template is read. One dataclass: the keys of `conf/model/*.yaml`.

Loads nothing until `chat_template` is called, and then the tokenizer only.
"""

import json
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from synth.chat import ChatTemplate

DEMO = Path(__file__).parent / "demo_model" / "weights"


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Model:
    """A model by folder or Hub name. `path: demo` is the shipped demonstration model.

    `chat_template` is a Jinja file that replaces the tokenizer's own. `pre_query`, `later_pre_query` and
    `query_stop` are given by hand where they can't be derived from the template.
    """

    path: str
    name: str | None = None
    tokenizer: str | None = None
    revision: str | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_model_len: int | None = None
    license: str | None = None
    chat_template: str | None = None
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    default_system_prompt: Literal["keep", "drop"] = "keep"
    pre_query: str | None = None
    later_pre_query: str | None = None
    query_stop: list[str] | None = None

    def __post_init__(self) -> None:
        if self.path == "demo":
            self.path = str(DEMO)
        self.name = self.name or self.path

    @property
    def is_demo(self) -> bool:
        return self.path == str(DEMO)

    def missing_file(self) -> tuple[str, str] | None:
        """The key and the path of a file or folder that is named but not there. A Hub name is not looked up."""
        for key, value in (("path", self.path), ("tokenizer", self.tokenizer)):
            looks_local = value is not None and (value.startswith((".", "/", "~")) or value.count("/") != 1)
            if looks_local and not Path(str(value)).expanduser().is_dir():
                return key, str(value)
        if self.chat_template is not None and not Path(self.chat_template).is_file():
            return "chat_template", self.chat_template
        return None

    def load_chat_template(self) -> "ChatTemplate":
        """The tokenizer with its template, ready to turn conversations into token ids.

        Raises ChatTemplateError when no pre-query prompt can be derived and none is given.
        """
        from transformers import AutoTokenizer

        from synth.chat import ChatTemplate

        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer or self.path, revision=self.revision)
        return ChatTemplate(
            tokenizer,
            chat_template=Path(self.chat_template).read_text() if self.chat_template else None,
            template_kwargs=self.template_kwargs,
            default_system_prompt=self.default_system_prompt,
            pre_query=self.pre_query,
            later_pre_query=self.later_pre_query,
            query_stop=self.query_stop,
            generation_eos=self._generation_eos(),
        )

    def _generation_eos(self) -> list[int]:
        """The ids that end an answer by generation_config.json, which knows more of them than the tokenizer."""
        from transformers.utils import cached_file

        found = cached_file(
            self.path, "generation_config.json", revision=self.revision, _raise_exceptions_for_missing_entries=False
        )
        eos = json.loads(Path(found).read_text()).get("eos_token_id") if found else None
        return [] if eos is None else eos if isinstance(eos, list) else [eos]
