"""Faults of the names of images."""

from k8s.tests.faults.reach import Planted, box

PLANTED: Planted = {
    "a tag in production": (
        "production_runs_the_server_by_digest",
        lambda o: box(o).update(image="registry.example/moa-server:0.1.0"),
    ),
    "no tag": ("images_have_a_tag_or_a_digest", lambda o: box(o).update(image="moa-server")),
    "the latest": ("images_have_a_tag_or_a_digest", lambda o: box(o).update(image="moa-server:latest")),
}
