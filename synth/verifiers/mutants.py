"""Parses programs and makes mutants for mutation testing. Standard library only: it runs inside the sandbox, since it
parses a model's text (synth/verifiers/mutation.py runs it there as a cell).

There are two kinds of wrong programs. A naive one has nothing of the solution: its functions all return None, or one of
the values that the tests expect. A mutant is the solution with one change: another comparison, operator, constant or
condition.
"""

import ast
import copy
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

NAIVE = 2  # number of constants tried
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def parts(text: str) -> str:
    """As JSON: the program in a text, its tests, and the signatures that the tests use. Imports are in both."""
    tree, lines = ast.parse(text), text.splitlines()
    tests: list[str] = []
    for node in tree.body:
        if _is_of_nowhere(node):  # an import of the solution from a module that models make up
            lines[node.lineno - 1 : node.end_lineno] = [""] * (1 + (node.end_lineno or node.lineno) - node.lineno)
            continue
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        own = lines[first - 1 : node.end_lineno]
        if _is_test(node) or isinstance(node, ast.Import | ast.ImportFrom):
            tests += own
        if _is_test(node) or _runs_tests(node):
            lines[first - 1 : node.end_lineno] = [""] * len(own)
    called = {one.id for one in ast.walk(ast.parse("\n".join(tests))) if isinstance(one, ast.Name)}
    signatures = [_signature(one) for one in tree.body if getattr(one, "name", None) in called and not _is_test(one)]
    has_tests = any(map(_is_test, tree.body))
    program = "\n".join(lines).strip()
    return json.dumps({"program": program, "tests": "\n".join(tests) * has_tests, "signatures": signatures})


def _is_of_nowhere(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in sys.stdlib_module_names


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test") or any(ast.unparse(base).endswith("TestCase") for base in node.bases)
    return isinstance(node, ast.Assert) or (isinstance(node, _FUNCTION) and node.name.startswith("test"))


def _runs_tests(node: ast.stmt) -> bool:
    """Or prints something: statements beside definitions, for running it as a script."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call or (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))


def _signature(node: ast.stmt) -> str:
    bare = copy.deepcopy(node)
    if isinstance(bare, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        bare.body, bare.decorator_list = [ast.Expr(ast.Constant(...))], []
    return ast.unparse(bare).split("\n")[0]


def wrong(program: str, tests: str, seed: int, mutants: int) -> str:
    """As JSON: [change, program, is it naive?] for each wrong program; none if the program has no function."""
    tree = ast.parse(program)
    if not list(_functions(tree)):
        return "[]"
    found: list[tuple[str, str, bool]] = []
    for value in [None, *_expected(ast.parse(tests))]:
        found.append((f"every function returns {value!r}", _constant(tree, value), True))
    count = sum(1 for _ in _changes(tree))
    for number in sorted(random.Random(seed).sample(range(count), min(mutants, count))):
        changed = copy.deepcopy(tree)
        how = list(_changes(changed))[number]()
        found.append((how, ast.unparse(ast.fix_missing_locations(changed)), False))
    return json.dumps(found)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        for one in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, _FUNCTION) and not one.name.startswith("__"):
                yield one


def _constant(tree: ast.Module, value: object) -> str:
    changed = copy.deepcopy(tree)
    for function in _functions(changed):
        function.body = [ast.Return(ast.parse(repr(value), mode="eval").body)]
    return ast.unparse(ast.fix_missing_locations(changed))


def _expected(tests: ast.Module) -> list[object]:
    """The most frequently expected values."""
    found: Counter[str] = Counter()
    for node in ast.walk(tests):
        if isinstance(node, ast.Assert):
            test: ast.AST = node.test
            if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
                sides: list[ast.AST] = [test.left, test.comparators[0]]
            else:
                negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
                sides = [ast.Constant(not negated)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            truth = {"assertTrue": True, "assertFalse": False}.get(node.func.attr)
            sides = list(node.args) if node.func.attr == "assertEqual" else [ast.Constant(truth)] * (truth is not None)
        else:
            continue
        for side in sides:
            with suppress(ValueError, SyntaxError, TypeError):
                found[repr(ast.literal_eval(ast.unparse(side)))] += 1
    return [ast.literal_eval(text) for text, _ in found.most_common(NAIVE) if text != "None"]


def _changes(tree: ast.Module) -> Iterator[Callable[[], str]]:
    """Functions that each apply one change to this tree and return its description. The order depends on the tree
    only."""
    for function in _functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Compare):
                for place in range(len(node.ops)):
                    if type(node.ops[place]) in _SWAPPED:
                        yield lambda node=node, place=place: _swap(node, node.ops, place)  # type: ignore[misc]
            elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPPED:
                yield lambda node=node: _set(node, "op", _SWAPPED[type(node.op)]())  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
                yield lambda node=node: _set(node, "value", _other(node.value))  # type: ignore[misc]
            elif isinstance(node, ast.If | ast.While | ast.IfExp):
                yield lambda node=node: _set(node, "test", ast.UnaryOp(ast.Not(), node.test))  # type: ignore[misc]
            elif isinstance(node, ast.Return) and node.value is not None:
                yield lambda node=node: _set(node, "value", ast.Constant(None))  # type: ignore[misc]


def _other(value: int) -> int:
    return not value if isinstance(value, bool) else value + 1


def _swap(node: ast.Compare, ops: list[ast.cmpop], place: int) -> str:
    before = ast.unparse(node)
    ops[place] = _SWAPPED[type(ops[place])]()  # type: ignore[call-overload]
    return f"{before} → {ast.unparse(node)}"


def _set(node: ast.AST, name: str, value: object) -> str:
    before = ast.unparse(node).split("\n")[0]
    setattr(node, name, value)
    return f"{before} → {ast.unparse(node).split(chr(10))[0]}"
