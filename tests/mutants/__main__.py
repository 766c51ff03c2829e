"""Changes the code that holds money, deadlines, ownership, cancelling and resume; says which changes no test notices.

Ends badly when a mutant lives that `explained.toml` does not explain. Name files to look at these alone.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import libcst as cst
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation import mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import calculate_summary_stats, status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

from tests.mutants.operators import OPERATORS
from tests.mutants.type_errors import refused_by_types

_ROOT = Path(__file__).parent.parent.parent
_PLACE = _ROOT / ".mutants"
_EXPLAINED = Path(__file__).parent / "explained.toml"
_PROCESSES = 2
_COLUMNS = {"timeout": "timed out", "survived": "live", "no tests": "live"}
"""Where mutmut's word for what became of a mutant is counted; elsewhere it was killed."""


class Change(NamedTuple):
    """What a mutant is known by, wherever its line moves to."""

    where: str
    was: str
    becomes: str


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


def _lay_out() -> None:
    """Lay the distributions and their tests side by side, as mutmut wants them: a file's place is its import path."""
    shutil.rmtree(_PLACE, ignore_errors=True)
    _PLACE.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for source in ("server/moa_server", "clients/python/moa", "tests"):
        shutil.copytree(_ROOT / source, _PLACE / Path(source).name, ignore=ignored)
    shutil.copy2(_ROOT / "pyproject.toml", _PLACE)


def _pass() -> bool:
    """Return whether the tests pass as the code is, and let pytest say which do not: mutmut would not."""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *config().pytest_add_cli_args_test_selection]
    return subprocess.run(tests, check=False, env=here).returncode == 0


class _Undecorated(cst.CSTTransformer):  # type: ignore[misc]  # on the path of `make mutants` alone
    """Applies some decorators below their functions: mutmut leaves decorated functions alone."""

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        decorators = [one.decorator.value for one in updated_node.decorators if isinstance(one.decorator, cst.Name)]
        if decorators not in (["property"], ["contextmanager"], ["asynccontextmanager"]):
            return updated_node
        name = updated_node.name.value
        applied = cst.parse_statement(f"{name} = {decorators[0]}({name})")
        return cst.FlattenSentinel([updated_node.with_changes(decorators=[]), applied])


def _narrow(wanted: Sequence[str]) -> None:
    """Leave it at these files, and the tests of their rooms."""
    chosen = config()
    chosen.only_mutate = [file for file in chosen.only_mutate if Path(file).stem in wanted]
    rooms = {"client" if file.startswith("moa/") else Path(file).parts[1] for file in chosen.only_mutate}
    tests = chosen.pytest_add_cli_args_test_selection
    chosen.pytest_add_cli_args_test_selection = [test for test in tests if Path(test).parts[1] in rooms]


def _tell_progress(data: dict[str, SourceFileMutationData], *, force_output: bool = False) -> None:
    stats = calculate_summary_stats(data)
    done = stats.total - stats.not_checked
    if force_output or done % 50 == 0:
        _say(f"{time.strftime('%H:%M:%S')}  {done} of {stats.total}, {stats.survived} live")


def _change(diff: str, where: str) -> Change:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    was, becomes = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(where, was, becomes)


def _explained() -> dict[Change, str]:
    entries = tomllib.loads(_EXPLAINED.read_text()).get("mutant", [])
    return {Change(entry["where"], entry["was"], entry["becomes"]): entry["reason"] for entry in entries}


def _where(name: str) -> str:
    """Return `room.file.Class.method` of mutmut's name for a mutant."""
    path, _, function = name.partition("__mutmut_")[0].rpartition(".")
    return f"{path}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def _told(wanted: Sequence[str]) -> bool:
    """Print a table and write the survivors down; return whether each of them is explained."""
    explained, met = _explained(), set[Change]()
    tables: dict[str, Counter[str]] = defaultdict(Counter)
    unexplained = list[tuple[Change, str]]()
    mutants, _ = mutmut.collect_source_file_mutation_data(mutant_names=())
    for file, name, exit_code in mutants:
        table, status = tables[str(file.path)], status_by_exit_code[exit_code]
        column = "refused by types" if name in refused_by_types() else _COLUMNS.get(status, "killed")
        table["mutants"] += 1
        if column != "live":
            table[column] += 1
            continue
        diff = get_diff_for_mutant(name, path=file.path)
        change = _change(diff, _where(name))
        met.add(change)
        if change in explained:
            table["explained"] += 1
        else:
            table["live"] += 1
            unexplained.append((change, f"# {name}: {status}\n{diff}"))
    columns = ("mutants", "refused by types", "killed", "timed out", "explained", "live")
    _say("\n" + " " * 44 + "".join(f"{column:>18}" for column in columns))
    for path, table in [*sorted(tables.items()), ("all", sum(tables.values(), Counter[str]()))]:
        _say(f"{path:44}" + "".join(f"{table[column]:18}" for column in columns))
    (_PLACE / "survivors.diff").write_text("\n".join(diff for _, diff in unexplained))
    for change, _ in unexplained:
        _say(f"\n[[mutant]]\nwhere = \"{change.where}\"\nwas = '{change.was}'\nbecomes = '{change.becomes}'")
    for change in explained.keys() - met if not wanted else ():
        _say(f"\nexplained, but killed or gone: {change.where}: {change.was}")
    return not unexplained


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="names of files, such as spending")
    wanted = parser.parse_args().files
    os.nice(10)
    _lay_out()
    os.chdir(_PLACE)
    os.environ["MOA_EXAMPLES"] = "few"
    if wanted:
        _narrow(wanted)
    for path in walk_mutatable_files():
        path.write_text(cst.parse_module(path.read_text()).visit(_Undecorated()).code)
    mutmut.print_status = lambda *_, **__: None
    mutmut.print_stats = _tell_progress
    mutmut.filter_mutants_with_type_checker = refused_by_types
    mutators.mutation_operators[:] = OPERATORS
    began = time.monotonic()
    if not _pass():
        sys.exit("the tests have to pass before the code is changed")
    mutmut._run((), _PROCESSES)  # noqa: SLF001 - what `mutmut run` calls, with operators of our own
    sound = _told(wanted)
    used = sum(os.times()[:4])
    _say(f"\n{time.monotonic() - began:.0f} s, {used:.0f} s of CPU; survivors: .mutants/survivors.diff")
    sys.exit(not sound)


if __name__ == "__main__":
    main()
