"""Images are named so that the same name is the same image."""

import re
from collections.abc import Iterator

from k8s.tests.rules.rule import Objects, Rule, workloads

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_TAG = re.compile(r":(?!latest$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")


def _images(objects: Objects) -> Iterator[tuple[str, str]]:
    for pods in workloads(objects):
        for container in pods.containers:
            yield pods.workload, container["image"]


def images_have_a_tag_or_a_digest(objects: Objects) -> Iterator[str]:
    for workload, image in _images(objects):
        if not _DIGEST.search(image) and not _TAG.search(image):
            yield f"{workload} runs {image}, which may be another tomorrow"


def production_runs_the_server_by_digest(objects: Objects) -> Iterator[str]:
    for workload, image in _images(objects):
        if re.split("[:@]", image.rpartition("/")[2])[0] == "moa-server" and not _DIGEST.search(image):
            yield f"{workload} runs {image}, not a digest"


RULES: tuple[Rule, ...] = (images_have_a_tag_or_a_digest,)
PRODUCTION_RULES: tuple[Rule, ...] = (production_runs_the_server_by_digest,)
