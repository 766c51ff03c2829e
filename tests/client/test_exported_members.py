"""The door is one sorted list."""

import moa
from moa import errors


def test_all_is_sorted_and_true() -> None:
    public = {name for name in vars(moa) if not name.startswith("_")}
    modules = {name for name in public if type(vars(moa)[name]).__name__ == "module"}
    assert set(moa.__all__) == public - modules
    assert list(moa.__all__) == sorted(moa.__all__, key=lambda name: (not name[0].isupper(), name))


def test_every_error_is_exported() -> None:
    named = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.MoaError)
    }
    assert named <= set(moa.__all__)


def test_every_error_is_in_the_drawing() -> None:
    named = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.MoaError)
    }
    assert all(name in (errors.__doc__ or "") for name in named)
