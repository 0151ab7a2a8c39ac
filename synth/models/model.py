"""A model and its chat template: the keys of `conf/model/*.yaml`, as one dataclass.

Loads nothing until `load_chat_template` is called, which loads the tokenizer only.
"""

import json
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.demo_model import PATH as DEMO
from synth.models.files import is_hub_name, missing_model
from synth.models.kinds import generates_nothing
from synth.paths import expanded

if TYPE_CHECKING:
    from synth.chat import ChatTemplate, PoolingInput

Tag = Annotated[str, Field(min_length=1)]


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Model:
    """A model by folder or Hub name. `path: demo` is the shipped demonstration model.

    `chat_template` is a Jinja file that replaces the tokenizer's own. `pre_query`, `later_pre_query` and `query_stop`
    replace what can't be derived from the template. `reasoning` sets what happens to the reasoning before an answer,
    which is never part of it: `keep` stores it in a column, `reasoning_content` or `thinking` in a field of that name
    of the assistant's messages. It stands between the two `reasoning_tags`, or as the template marks it (`auto`).
    """

    path: str
    name: str | None = None
    tokenizer: str | None = None
    revision: str | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_model_len: Annotated[int, Field(gt=0)] | Literal["auto"] | None = None
    license: str | None = None
    chat_template: str | None = None
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    default_system_prompt: Literal["keep", "drop"] = "keep"
    pre_query: str | None = None
    later_pre_query: str | None = None
    query_stop: list[str] | None = None
    reasoning: Literal["strip", "keep", "reasoning_content", "thinking"] = "strip"
    reasoning_tags: Literal["auto"] | tuple[Tag, Tag] | None = "auto"

    RUNTIME_ONLY: ClassVar[frozenset[str]] = frozenset({"license"})  # keys that don't affect the data

    def __post_init__(self) -> None:
        if self.path == "demo":
            self.path = str(DEMO)
        self.name = self.name or self.path
        self.path = expanded(self.path)
        self.tokenizer = self.tokenizer and expanded(self.tokenizer)
        self.chat_template = self.chat_template and expanded(self.chat_template)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Columns that this model adds to every dataset, beside those of the contract."""
        return {"reasoning": pa.string()} if self.reasoning == "keep" else {}

    @property
    def thoughts_in_messages(self) -> str | None:
        """The field of a message that has the reasoning, if any."""
        return self.reasoning if self.reasoning in ("reasoning_content", "thinking") else None

    @property
    def is_demo(self) -> bool:
        return self.path == str(DEMO)

    @property
    def is_here(self) -> bool:
        """Whether the model is on this machine, in a folder or the Hub's cache."""
        from huggingface_hub import try_to_load_from_cache

        named = [path for path in (self.path, self.tokenizer) if path is not None and is_hub_name(path)]
        return all(isinstance(try_to_load_from_cache(one, "config.json", revision=self.revision), str) for one in named)

    @property
    def folder(self) -> Path | None:
        """Its folder on this machine, also in the Hub's cache; None if it is not here."""
        from huggingface_hub import try_to_load_from_cache

        if not is_hub_name(self.path):
            return Path(self.path) if Path(self.path).is_dir() else None
        found = try_to_load_from_cache(self.path, "config.json", revision=self.revision)
        return Path(found).parent if isinstance(found, str) else None

    def missing(self) -> str | None:
        """The first named file that is missing, as `key: problem`. A Hub name is not checked."""
        named = {"path": self.path, "tokenizer": self.tokenizer, "chat_template": self.chat_template}
        for key, value in named.items():
            try:
                if value is not None and (problem := _missing(key, value)):
                    return f"{key}: {problem}"
            except OSError as error:
                return f"{key}: {value!r} can't be read ({error.strerror})"
        return None

    def missing_weights(self) -> str | None:
        """The same for the weights; separate because not every engine loads them."""
        problem = missing_model(self.path)
        return problem and f"model.path: {problem}"

    def cannot_generate(self) -> str | None:
        """The same for a model that can't generate, if its config.json is on this machine."""
        if not self.is_here:
            return None
        try:
            problem = generates_nothing(self.config)
        except (OSError, ValueError):  # reported when it is loaded
            return None
        return problem and f"model.path: {self.path!r} is {problem}"

    def load_chat_template(self) -> "ChatTemplate":
        """The tokenizer with its chat template.

        Raises ChatTemplateError if there is no chat template or it can't be read.
        """
        return self._chat_template(self.load_tokenizer())

    def load_pooling_input(self) -> "PoolingInput":
        """The prompt encoder of a model that scores or embeds, which needs no chat template for texts."""
        from synth.chat import PoolingInput

        tokenizer = self.load_tokenizer()
        return PoolingInput(tokenizer, lambda: self._chat_template(tokenizer))

    def load_tokenizer(self) -> Any:
        """Raises OSError and ValueError."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self.tokenizer or self.path,
            revision=self.revision,
            trust_remote_code=False,  # explicit, else the terminal is prompted
            mistral_format=False,  # mistral-common's own tokenizers have no chat template
        )

    def _chat_template(self, tokenizer: Any) -> "ChatTemplate":
        from synth.chat import ChatTemplate

        return ChatTemplate(
            tokenizer,
            chat_template=Path(self.chat_template).read_text(encoding="utf-8") if self.chat_template else None,
            template_kwargs=self.template_kwargs,
            default_system_prompt=self.default_system_prompt,
            pre_query=self.pre_query,
            later_pre_query=self.later_pre_query,
            query_stop=self.query_stop,
            generation_eos=self._generation_eos(),
            reasoning=self.reasoning_tags,
        )

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json, which may be read from the Hub; empty if there is none. Raises OSError."""
        return self._read("config.json")

    def _generation_eos(self) -> list[int]:
        """The stop ids of generation_config.json, which has more of them than the tokenizer."""
        eos = self._read("generation_config.json").get("eos_token_id")
        return [] if eos is None else eos if isinstance(eos, list) else [eos]

    def _read(self, name: str) -> dict[str, Any]:
        from transformers.utils import cached_file

        found = cached_file(self.path, name, revision=self.revision, _raise_exceptions_for_missing_entries=False)
        return dict(json.loads(Path(found).read_text(encoding="utf-8"))) if found else {}


def _missing(key: str, value: str) -> str | None:
    if key == "chat_template":
        return None if Path(value).is_file() else f"there is no file {value!r}"
    return missing_model(value, weights=False, config=key == "path")
