"""Reads the texts that stand under the fields of a class."""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import Any


def under_fields(kind: type[Any]) -> dict[str, str]:
    """Return the text under each field of a class; none where its source is not at hand."""
    try:
        tree = ast.parse(dedent(inspect.getsource(kind)))
    except (OSError, TypeError):
        return {}
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
