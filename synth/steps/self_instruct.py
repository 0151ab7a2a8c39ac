"""Self-Instruct (arXiv 2212.10560): a model generates tasks from example tasks, or queries about a context.

Bootstrap mode is two steps. `Tasks` shows the model some tasks of a pool, human-written and generated ones, and offers
its new ones to the pool (section 2.2, steps 1 and 4). `Instances` decides whether a task is a classification and
generates inputs and outputs, label first for a classification, input first for others (steps 2 and 3). Context mode is
one step, `Queries`: queries that users might send about a text.

Examples are shown as earlier turns, in the JSON that structured output requires of the answer. Answers in another form
are parsed too. An answer that max_tokens cut loses its last item only. Each item that is left out is a rejection with
its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.messages import Message, as_line, as_messages, first_turn, messages_of
from synth.records import Needs, Record, Rejection, text_of
from synth.steps import instance_prompts, prompts
from synth.steps import self_instruct_parsing as parsing
from synth.steps.copies import is_copy
from synth.steps.few_shot import few_shot, list_schema
from synth.steps.llm import LLM
from synth.steps.pool import PoolRules
from synth.steps.query_examples import FOLLOW_UPS, QueryExample
from synth.steps.query_examples import SHIPPED as SHIPPED_QUERIES
from synth.steps.seed_tasks import SHIPPED, Seed, SeedFile, read_seeds
from synth.template import Template, filled, needed, unfilled


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Tasks:
    """Shows `in_context` tasks, at most `machine_made` of them from the pool, and asks for `tasks` new ones.

    Each accepted task is a record.

    They are shown as answers to the same request, `tasks` in each. `seeds` is a file in the paper's jsonl format, null
    for the shipped tasks. A task is new if its ROUGE-L with each seed and each accepted task is at most `threshold`. At
    most `pool_lag` records wait for decisions on their tasks: more keep the engine busier, fewer bring generated tasks
    into the prompts sooner.

    Rejections: `no_tasks`, `truncated_tasks` (max_tokens cut the only one), and for single tasks `too_short`,
    `too_long`, `keyword`, `asks_for_a_program`, `first_character`, `copies_prompt` (the prompt's own words, or a
    part of a task that it showed) and `not_novel`.
    """

    seeds: SeedFile = SHIPPED
    tasks: Annotated[int, Field(ge=1)] = 4
    in_context: Annotated[int, Field(ge=1)] = 8
    machine_made: Annotated[int, Field(ge=0)] = 2
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    pool_lag: Annotated[int, Field(ge=1)] = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=512))

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_tasks",
        "truncated_tasks",
        "too_short",
        "too_long",
        "keyword",
        "asks_for_a_program",
        "first_character",
        "copies_prompt",
        "not_novel",
    )
    num_outputs: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if self.machine_made > self.in_context:
            raise ValueError("machine_made: can't be more than in_context")

    @cached_property
    def _seed_tasks(self) -> list[str]:
        return [seed.instruction for seed in read_seeds(self.seeds)]

    @property
    def pool(self) -> PoolRules:
        return PoolRules(tuple(self._seed_tasks), self.threshold, self.pool_lag)

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> list[Record | Rejection]:
        shown = self._draw(await llm.pool.examples(), llm)
        request = prompts.render("self_instruct_tasks", n=self.tasks)
        groups = [shown[at : at + self.tasks] for at in range(0, len(shown), self.tasks)]
        examples = [(prompts.render("self_instruct_tasks", n=len(group)), {"tasks": group}) for group in groups]
        form = list_schema("tasks", self.tasks)
        answer = await llm.chat(few_shot(examples, request), self.sampling, json_schema=form)
        tasks = _list_of(answer.text, answer.finish_reason != "stop", "tasks")
        tasks = [task[:1].upper() + task[1:] for task in tasks]
        unfit = [parsing.unfit_task(task) or _copied(task, [request, *shown], "copies_prompt") for task in tasks]
        fit = [task for task, reason in zip(tasks, unfit, strict=True) if reason is None]
        accepted = iter(await llm.pool.offer(fit))
        reasons = [reason or (None if next(accepted) else "not_novel") for reason in unfit]
        return _outcomes(record, tasks, reasons)

    def _draw(self, machine_made: Sequence[str], llm: LLM) -> list[str]:
        machines = llm.rng.sample(machine_made, min(self.machine_made, len(machine_made)))
        seeds = llm.rng.sample(self._seed_tasks, min(self.in_context - len(machines), len(self._seed_tasks)))
        shown = machines + seeds
        llm.rng.shuffle(shown)
        return [task.rstrip(" :") for task in shown]  # after a colon the model would write an input


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Instances:
    """Generates inputs and outputs for the task in `instruction`; a record for each.

    A record's instruction is then what a user would send: the task and, below it, the input. Both are also in columns,
    `task` and `input` (empty if the task needs none), with `is_classification`.

    The prompt shows `in_context` tasks of the same kind from the file `seeds`, with their instances.

    Rejections: `no_task`, `no_verdict` (neither Yes nor No), `no_instances`, `truncated_instances`, and for single
    instances `empty_output`, `output_is_input`, `output_is_task`, `ends_with_colon`, `contradictory_outputs`,
    `repeated_instance` and `copies_prompt` (an example's input, or output if there is no input).
    """

    seeds: SeedFile = SHIPPED
    in_context: Annotated[int, Field(ge=0)] = 3
    classify: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=8))
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, presence_penalty=1.5, max_tokens=512))

    columns: ClassVar[dict[str, str]] = {"task": "string", "input": "string", "is_classification": "bool"}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_task",
        "no_verdict",
        "no_instances",
        "truncated_instances",
        "empty_output",
        "output_is_input",
        "output_is_task",
        "ends_with_colon",
        "contradictory_outputs",
        "repeated_instance",
        "copies_prompt",
    )
    num_outputs: ClassVar[int | None] = None

    @cached_property
    def _seed_tasks(self) -> list[Seed]:
        return read_seeds(self.seeds)

    def needs(self) -> list[Needs]:
        return [{"instruction": "text"}]

    def calls(self) -> list[Sampling]:
        return [self.classify, self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> list[Record | Rejection]:
        task = text_of(record, "instruction")
        if not task:
            raise Rejection("no_task")
        verdict = await llm.chat(
            prompts.render("self_instruct_classify", instruction=task), self.classify, choice=("Yes", "No")
        )
        is_classification = parsing.is_yes(verdict.text)
        if is_classification is None:
            raise Rejection("no_verdict", verdict.text)
        examples = self._draw(task, is_classification, llm)
        asked = instance_prompts.request(Seed(task, (), is_classification))
        messages = few_shot(map(instance_prompts.example, examples), asked)
        answer = await llm.chat(messages, self.sampling, json_schema=instance_prompts.SCHEMAS[is_classification])
        cut = answer.finish_reason != "stop"
        parse = parsing.output_first if is_classification else parsing.input_first
        shown = {pair for example in examples for pair in example.instances}
        instances = parsing.sifted(parse(answer.text, cut), task, shown)
        if not instances:
            raise Rejection("truncated_instances" if cut else "no_instances", answer.text)
        outcomes: list[Record | Rejection] = []
        for instance in instances:
            made = {
                "instruction": f"{task}\n\n{instance.input}" if instance.input else task,
                "response": instance.output,
                "task": task,
                "input": instance.input,
                "is_classification": is_classification,
                "finish_reason": "stop",
            }
            outcomes.append(record | made if instance.unfit is None else Rejection(instance.unfit, record=made))
        return outcomes

    def _draw(self, task: str, is_classification: bool, llm: LLM) -> list[Seed]:
        alike = [seed for seed in self._seed_tasks if seed.is_classification == is_classification and seed.instances]
        others = [seed for seed in alike if seed.instruction != task]
        return llm.rng.sample(others, min(self.in_context, len(others)))


def _as_text(criteria: Any) -> Any:
    return " ".join(criteria) if isinstance(criteria, list | tuple) and all(map(_is_text, criteria)) else criteria


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Queries:
    """Asks for `queries` queries about the text in the column `context`, as users of `application` might send them.
    About `messages`, the record's conversation, they are messages that may follow: each becomes its next turn.

    `criteria` are conditions for each query, a text or a list of texts. Both are templates over the record's columns;
    in examples they are rendered with the record. `examples` are texts with queries, shown as earlier answers; null for
    the shipped ones, [] for none. Each query is a record: fewer than asked for are accepted, and surplus ones are left
    out.

    Rejections: `no_context`, `no_queries`, `truncated_queries` (max_tokens cut the only one), and for single queries
    `repeated_query`, `copies_context` (a sentence of the context, not a query about it) and `copies_prompt`. Of
    templates, `missing_column` and `template_failed`.
    """

    context: str = "context"
    queries: Annotated[int, Field(ge=1)] = 5
    examples: list[QueryExample] | None = None
    application: Template = "AI assistant"
    criteria: Annotated[Template, BeforeValidator(_as_text)] = ""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=1024))

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        of_queries = ("repeated_query", "copies_context", "copies_prompt")
        unread = unfilled(self.application, self.criteria)
        return ("no_context", "no_queries", "truncated_queries", *of_queries, *unread)

    def needs(self) -> list[Needs]:
        read = needed(self.application) | needed(self.criteria)
        context: Needs = {self.context: "text"}
        if self.context == "messages":
            context = {"instruction": "text", "messages": "conversation"}
        return [context, *((name,) for name in sorted(read - {self.context}))]

    @property
    def num_outputs(self) -> int:
        return self.queries

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> list[Record | Rejection]:
        turns = self._conversation(record)
        context = "\n".join(map(as_line, turns)) if turns else self._text(record)
        asked = {name: filled(getattr(self, name), record) for name in ("application", "criteria")}
        request = self._request(context, self.queries, asked)
        shipped = FOLLOW_UPS if turns else SHIPPED_QUERIES
        known = shipped if self.examples is None else self.examples
        examples = [self._example(example, asked) for example in known]
        shown = [request, *(text for example in known for text in (example.context, *example.queries))]
        form = list_schema("queries", self.queries)
        answer = await llm.chat(few_shot(examples, request), self.sampling, json_schema=form)
        queries = _list_of(answer.text, answer.finish_reason != "stop", "queries")[: self.queries]
        first = {query.casefold(): number for number, query in reversed(list(enumerate(queries)))}
        reasons = [
            ("repeated_query" if first[query.casefold()] < number else None)
            or _copied(query, [turn["content"] for turn in turns] or [context], "copies_context")
            or _copied(query, shown, "copies_prompt")
            for number, query in enumerate(queries)
        ]
        outcomes = _outcomes(record, queries, reasons)
        return [_appended(turns, outcome) for outcome in outcomes] if turns else outcomes

    def _conversation(self, record: Record) -> list[Message]:
        """The record's conversation, if the queries are about that. Raises Rejection if there is none."""
        if self.context != "messages":
            return []
        turns = messages_of(record) or as_messages(record)
        if not turns or turns[-1]["role"] != "assistant":
            raise Rejection("no_context", "there is no conversation that ends with an answer")
        return turns

    def _text(self, record: Record) -> str:
        """Raises Rejection if there is none."""
        if self.context not in record:
            there = ", ".join(record) or "none"
            raise Rejection("no_context", f"there is no column {self.context!r}, see the key context: {there}")
        context = record[self.context]
        if not isinstance(context, str) or not context.strip():
            raise Rejection("no_context", f"the column {self.context!r} holds {context!r}")
        return context

    def _request(self, context: str, n: int, asked: Mapping[str, str]) -> str:
        prompt = "self_instruct_follow_ups" if self.context == "messages" else "self_instruct_queries"
        return prompts.render(prompt, n=n, context=context, **asked)

    def _example(self, one: QueryExample, asked: Mapping[str, str]) -> tuple[str, Any]:
        queries = one.queries[: self.queries]
        return self._request(one.context, len(queries), asked), {"queries": queries}


def _appended(turns: Sequence[Message], outcome: Record | Rejection) -> Record | Rejection:
    """With the query as the conversation's next turn."""
    record = (outcome.record or {}) if isinstance(outcome, Rejection) else outcome
    messages = [*turns, {"role": "user", "content": record["instruction"]}]
    record |= first_turn(messages) | {"messages": messages}
    return Rejection(outcome.reason, outcome.detail, record) if isinstance(outcome, Rejection) else record


def _copied(text: str, shown: Sequence[str], reason: str) -> str | None:
    return reason if is_copy(text, shown) else None


def _list_of(text: str, cut: bool, what: str) -> list[str]:
    found = parsing.items(text, cut)
    if not found:
        raise Rejection(f"truncated_{what}" if cut else f"no_{what}", text)
    return found


def _outcomes(record: Record, instructions: list[str], reasons: list[str | None]) -> list[Record | Rejection]:
    """A record for each instruction; these are complete even if their list was truncated."""
    made = [{"instruction": instruction, "finish_reason": "stop"} for instruction in instructions]
    return [
        record | one if reason is None else Rejection(reason, record=one)
        for one, reason in zip(made, reasons, strict=True)
    ]
