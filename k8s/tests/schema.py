"""Checks objects against the schemas of the clusters that are supported: an unknown field is an error."""

import functools
import json
from collections.abc import Iterator

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]

from k8s.tests.custom_resources import SCHEMAS
from k8s.tests.rules.rule import Object, named

SUPPORTED = ("1.33", "1.34", "1.35", "1.36", "1.37")
"""The oldest has every field that is used switched on: the sleep before SIGTERM, sidecars, the eviction policy."""


def faults(found: Object) -> Iterator[str]:
    """Return what the clusters would refuse."""
    return iter(_faults(json.dumps(found, sort_keys=True)))


@functools.cache
def _faults(text: str) -> tuple[str, ...]:
    found = json.loads(text)
    custom = SCHEMAS.get((found["apiVersion"], found["kind"]))
    if custom is not None:
        errors = jsonschema.Draft202012Validator(custom).iter_errors(found)
        return tuple(f"{named(found)}: {error.json_path}: {error.message}" for error in errors)
    return tuple(_builtin(found))


def _builtin(found: Object) -> Iterator[str]:
    for version in SUPPORTED:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{named(found)} in {version}: {error.json_path}: {error.message}"
