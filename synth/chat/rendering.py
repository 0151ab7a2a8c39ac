"""Renders a chat template in Jinja's sandbox, with a fixed date.

Templates get what Transformers provides (special tokens, `raise_exception`, `tojson`, `strftime_now`, loop controls,
`{% generation %}` blocks), but today is always 26 July 2024, or the ISO date in `template_kwargs.today`, so that
prompts don't depend on the day of a run.

Some templates show only contents that are lists of parts, as in `[{"type": "text", "text": "Hi"}]`, and silently drop
strings. For those, a string is wrapped in a list.

Contents are escaped before (special_tokens.py). A template that searches a content for `</think>` or the like must
still find it: comparisons, `in` and string methods also match the escaped form of a literal.

Knows nothing of token ids.
"""

import datetime
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from synth.chat.special_tokens import SpecialTokens

SPEAKS_OF_THINKING = re.compile(
    r"think|thought|reason|deliberat|reflect|analy[sz]|ponder|scratch|\bcot\b|思考|推理", re.IGNORECASE
)
TODAY = datetime.date(2024, 7, 26)
_OF_A_CONVERSATION = {"messages", "add_generation_prompt", "tools", "documents"}


class ChatTemplateError(ValueError):
    """A chat template that can't be used as requested. The message is one line and names the keys that help."""


def own_template(tokenizer: Any) -> str:
    """The Jinja source of a tokenizer's chat template. Raises ChatTemplateError if it has none, or no default."""
    try:
        return str(tokenizer.get_chat_template())
    except (ValueError, NotImplementedError) as error:
        named = getattr(tokenizer, "chat_template", None)
        what = f"has chat templates {', '.join(named)} and no default" if named else "has no chat template"
        raise ChatTemplateError(f"the tokenizer {what}: set model.chat_template to a Jinja file") from error


@dataclass(frozen=True)
class TemplateSource:
    """Facts from a template's source: the `variables` that it reads and does not set, each with the values that it is
    compared with; the `words` that it searches for in messages; and all strings that it compares anything with."""

    variables: dict[str, list[Any]]
    words: list[str]
    compared: list[str]

    @classmethod
    def read(cls, tree: jinja2.nodes.Template, given: Collection[str]) -> "TemplateSource":
        free = jinja2.meta.find_undeclared_variables(tree) - set(given) - _OF_A_CONVERSATION
        variables: dict[str, list[Any]] = {name: [] for name in sorted(free)}
        for node in tree.find_all((jinja2.nodes.Test, jinja2.nodes.Filter)):
            values = [one.value for one in node.find_all(jinja2.nodes.Const) if isinstance(one.value, str | int)]
            for name in {one.name for one in node.find_all(jinja2.nodes.Name)} & free:
                variables[name] += values
        for assigned in tree.find_all(jinja2.nodes.Assign):  # a default, if it is not given
            target, value = assigned.target, assigned.node
            if isinstance(target, jinja2.nodes.Name) and target.name in free and isinstance(value, jinja2.nodes.Const):
                variables[target.name].append(value.value)
        searched = (node.node for node in tree.find_all(jinja2.nodes.Test) if node.name == "in")
        words = [one.value for one in searched if isinstance(one, jinja2.nodes.Const) and isinstance(one.value, str)]
        tests = (node for node in tree.find_all(jinja2.nodes.Test) if node.name == "eq")
        constants = (one.value for test in tests for one in test.find_all(jinja2.nodes.Const))
        compared = [value for value in constants if isinstance(value, str)]
        return cls(variables, list(dict.fromkeys(words)), list(dict.fromkeys(compared)))


class Renderer:
    """A compiled template with its constant variables."""

    def __init__(self, source: str, variables: dict[str, Any], special_tokens: SpecialTokens):
        today = variables.get("today", TODAY)
        day = datetime.date.fromisoformat(str(today))
        environment = _Environment(special_tokens, day)
        try:
            self._template = environment.from_string(source)
            self.source = TemplateSource.read(environment.parse(source), environment.globals)
        except jinja2.TemplateSyntaxError as error:
            raise ChatTemplateError(
                f"model.chat_template: line {error.lineno} is not valid Jinja: {error.message}"
            ) from error
        self._variables = {"tools": None, "documents": None, **variables}
        self._wants_parts = False
        self._wants_parts = not self._shows(_WORDS) and self._shows(_as_parts(_WORDS))

    def render(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool, variables: Mapping[str, Any] | None = None
    ) -> str:
        """The rendered conversation, with additional or replaced `variables`.

        Raises ChatTemplateError with the template's own message if it refuses the conversation or fails."""
        if self._wants_parts:
            messages = [message | {"content": _as_parts(message.get("content"))} for message in messages]
        try:
            given = {"messages": messages, "add_generation_prompt": add_generation_prompt}
            return self._template.render({**self._variables, **(variables or {}), **given})
        except Exception as error:  # a template is a foreign program
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ChatTemplateError(f"the chat template refuses this conversation: {reason}") from error

    def _shows(self, content: Any) -> bool:
        try:
            return _WORDS in self.render([{"role": "user", "content": content}], add_generation_prompt=True)
        except ChatTemplateError:
            return False


_WORDS = "\udfff"  # a lone surrogate, which neither contents nor templates contain


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class _Environment(ImmutableSandboxedEnvironment):
    def __init__(self, special_tokens: SpecialTokens, day: datetime.date):
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols])
        self._special_tokens = special_tokens
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = day.strftime
        self.filters["tojson"] = _tojson
        self.filters["replace"] = self._replace
        self.tests["in"] = self._in
        self.tests["equalto"] = self.tests["=="] = self.tests["eq"] = self._equal

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree: jinja2.nodes.Template = _ComparisonsAsTests(self).visit(super()._parse(source, name, filename))
        return tree

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        text = getattr(obj, "__self__", None)
        if args and isinstance(text, str) and self._special_tokens.has_escapes(text):
            strips = obj.__name__ in ("strip", "lstrip", "rstrip")
            args = tuple(self._as_in(text, arg, strips) for arg in args)
        return super().call(context, obj, *args, **kwargs)

    def _as_in(self, text: str, literal: Any, is_set: bool = False) -> Any:
        """A literal as it is spelled in `text`."""
        if isinstance(literal, tuple):
            return tuple(self._as_in(text, one) for one in literal)
        if not isinstance(literal, str):
            return literal
        escaped = self._special_tokens.substitute(literal)
        return literal + escaped if is_set else escaped if escaped in text else literal

    def _in(self, value: Any, container: Any) -> bool:
        if isinstance(value, str) and isinstance(container, str):
            return value in container or self._special_tokens.substitute(value) in container
        return value in container

    def _equal(self, one: Any, other: Any) -> bool:
        if one == other or not (isinstance(one, str) and isinstance(other, str)):
            return bool(one == other)
        return len(one) == len(other) and self._special_tokens.substitute(one) == self._special_tokens.substitute(other)

    def _replace(self, text: Any, old: str, new: str, count: int = -1) -> str:
        return str(text).replace(self._as_in(str(text), old), new, count)


class _ComparisonsAsTests(NodeTransformer):
    """Replaces `a in b`, `a == b` and their negations by tests, which handle escaped text."""

    TESTS: ClassVar = {"in": "in", "notin": "in", "eq": "eq", "ne": "eq"}

    def __init__(self, environment: jinja2.Environment):
        self._environment = environment

    def visit_Compare(self, node: jinja2.nodes.Compare) -> jinja2.nodes.Expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or node.ops[0].op not in self.TESTS:
            return node
        operand = node.ops[0]
        test: jinja2.nodes.Expr = jinja2.nodes.Test(
            node.expr, self.TESTS[operand.op], [operand.expr], [], None, None, lineno=node.lineno
        )
        if operand.op in ("notin", "ne"):
            test = jinja2.nodes.Not(test, lineno=node.lineno)
        test.set_environment(self._environment)
        return test


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}` marks the training target. It has no effect here."""

    tags = {"generation"}  # noqa: RUF012 (an instance variable in the base class)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
