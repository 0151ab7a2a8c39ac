"""How instances of a task are asked for, and how the answer looks: label first for a classification, else input first.

Seed tasks of the same kind are shown as earlier turns, each the request with its own instances as the answer.
"""

from typing import Any

from synth.steps import prompts
from synth.steps.few_shot import Schema, object_schema, objects_schema
from synth.steps.seed_tasks import Seed

# Of the answer, by whether the task is a classification.
SCHEMAS: dict[bool, Schema] = {
    False: object_schema({"input": {"type": "string"}, "output": {"type": "string", "minLength": 1}}),
    True: objects_schema("instances", ["class_label", "input"], most=8),
}


def request(task: Seed) -> str:
    """The request for instances of a task."""
    form = "self_instruct_output_first" if task.is_classification else "self_instruct_input_first"
    return prompts.render(form, instruction=task.instruction)


def example(task: Seed) -> tuple[str, Any]:
    """The request for a seed task's instances, and its answer by the schema. The task needs an instance."""
    if task.is_classification:
        answer: Any = {"instances": [{"class_label": output, "input": given} for given, output in task.instances]}
    else:
        given, output = task.instances[0]
        answer = {"input": given, "output": output}
    return request(task), answer
