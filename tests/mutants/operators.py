"""What a mutant changes: mutmut's own operators that say something here, and those that it lacks.

Texts are left alone, since they are for people: a message, a log event, the name of an attribute.
"""

from collections.abc import Callable, Iterable
from typing import Any

import libcst as cst
from mutmut.mutation import mutators

_TEXTS = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString)
_ALREADY_MUTATED = (cst.Comparison, cst.BooleanOperation, cst.UnaryOperation)


def _is_constant(value: cst.BaseExpression | None) -> bool:
    """Return whether this is True or False, which are turned round by themselves, or None."""
    return isinstance(value, cst.Name) and value.value in {"True", "False", "None"}


def _arguments(call: cst.Call) -> Iterable[cst.CSTNode]:
    """Hand over nothing, or leave the parameter to its default.

    To leave out one that stands by its place is a `TypeError` that every test finds.
    """
    for place, argument in enumerate(call.args):
        if argument.star or isinstance(argument.value, _TEXTS):
            continue
        before, after = call.args[:place], call.args[place + 1 :]
        if not _is_constant(argument.value):
            yield call.with_changes(args=[*before, argument.with_changes(value=cst.Name("None")), *after])
        if argument.keyword is not None:
            yield call.with_changes(args=[*before, *after])


def _assignment(node: cst.Assign | cst.AnnAssign) -> Iterable[cst.CSTNode]:
    """Assign nothing, where that is more than another way to say no."""
    if not _is_constant(node.value):
        yield from mutators.operator_assignment(node)


def _statement(line: cst.SimpleStatementLine) -> Iterable[cst.CSTNode]:
    """Leave out a call that is made for its effect, an error that is raised, and what is deleted."""
    only = line.body[0] if len(line.body) == 1 else None
    is_effect = isinstance(only, cst.Expr) and isinstance(only.value, (cst.Call, cst.Await))
    if is_effect or isinstance(only, (cst.Raise, cst.Del)):
        yield line.with_changes(body=[cst.Pass()])


def _condition(branch: cst.If | cst.While | cst.CompIf) -> Iterable[cst.CSTNode]:
    """Turn a condition round, where it holds nothing that the others change."""
    if not isinstance(branch.test, _ALREADY_MUTATED):
        test = branch.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield branch.with_changes(test=cst.UnaryOperation(cst.Not(), test))


OPERATORS: list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    (cst.BaseNumber, mutators.operator_number),
    (cst.Name, mutators.operator_name),
    (cst.Assign, _assignment),
    (cst.AnnAssign, _assignment),
    (cst.AugAssign, mutators.operator_augmented_assignment),
    (cst.UnaryOperation, mutators.operator_remove_unary_ops),
    (cst.Lambda, mutators.operator_lambda),
    (cst.CSTNode, mutators.operator_keywords),
    (cst.CSTNode, mutators.operator_swap_op),
    (cst.Match, mutators.operator_match),
    (cst.IfExp, mutators.operator_if_exp),
    (cst.Call, _arguments),
    (cst.SimpleStatementLine, _statement),
    (cst.If, _condition),
    (cst.While, _condition),
    (cst.CompIf, _condition),
]
