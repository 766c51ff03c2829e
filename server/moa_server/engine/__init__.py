"""Carries plans to answers."""

from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.planner import Planner
from moa_server.engine.views import MixtureView, ModelView, RunStatus

__all__ = [
    "Catalogue",
    "Engine",
    "MixtureView",
    "ModelView",
    "Planner",
    "RunStatus",
]
