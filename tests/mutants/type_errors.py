"""Finds the mutants that the type checker refuses: none of them can land, since `make check` runs it."""

import re
import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path

import libcst as cst
from mutmut.configuration import config
from mutmut.mutation.file_mutation import FailedTypeCheckMutant, MutatedMethodsCollector
from mutmut.type_checking import TypeCheckingError, run_type_checker
from mutmut.utils.file_utils import change_cwd
from mutmut.utils.format_utils import get_mutant_name

_SWITCH = re.compile(r"(?m)^(?: *@_mutmut_mutated.*|mutants_\S+: MutantDict.*|.*# mutmut generated|from mutmut.*)\n")
_DECLARATION = re.compile(r" *self\.\w+ = ")
_APPLIED = re.compile(r"(?m)^( *)(\w+) = (\w+)\(\2\)\n")


@cache
def refused_by_types() -> dict[str, FailedTypeCheckMutant]:
    """Return the refused mutants by their names."""
    typed = Path("typed").absolute()
    shutil.copytree("mutants", typed, dirs_exist_ok=True)
    files = [typed / file for file in config().only_mutate]
    for file in files:
        file.write_text(_plain(file.read_text()))
    with change_cwd(typed):
        errors = run_type_checker(config().type_check_command)
    refused = dict[str, FailedTypeCheckMutant]()
    for file in files:
        refused |= _refused_in(file, file.relative_to(typed), [error for error in errors if error.file_path == file])
    return refused


def _plain(code: str) -> str:
    """Leave the mutants beside what they were made of, without what switches between them: it has no types."""
    code = _SWITCH.sub("", code)
    for indent, name, decorator in _APPLIED.findall(code):
        code = re.sub(rf"(?m)^{indent}((?:async )?def {name}\()", rf"{indent}@{decorator}\n{indent}\1", code)
    return _APPLIED.sub("", code)


def _refused_in(file: Path, path: Path, errors: list[TypeCheckingError]) -> dict[str, FailedTypeCheckMutant]:
    code = file.read_text()
    methods, lines = MutatedMethodsCollector(file), code.splitlines()
    cst.MetadataWrapper(cst.parse_module(code)).visit(methods)
    by_method = defaultdict[str, list[TypeCheckingError]](list)
    for error in errors:
        for method in methods.found_mutants:
            if method.line_number_start <= error.line_number <= method.line_number_end:
                by_method[method.function_name].append(error)
    refused = dict[str, FailedTypeCheckMutant]()
    for method in methods.found_mutants:
        name = method.function_name
        # What stands in the unchanged copy as well comes of there being copies.
        known = {error.error_description for error in by_method[name.partition("__mutmut_")[0] + "__mutmut_orig"]}
        for error in by_method[name]:
            # A copy cannot change what an attribute is declared to be, as the mutant might.
            declares = "ǁ__init____" in name and _DECLARATION.match(lines[error.line_number - 1])
            if error.error_description not in known and not declares:
                mutant = get_mutant_name(path, name)
                refused[mutant] = FailedTypeCheckMutant(method_location=method, name=mutant, error=error)
                break
    return refused
