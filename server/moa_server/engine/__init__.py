"""Carries plans to answers."""

from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue, MixtureView, ModelView
from moa_server.engine.plans.planner import Planner
from moa_server.engine.records.closed_layers import ClosedLayers
from moa_server.engine.records.run_reader import RunStatus

__all__ = [
    "Catalogue",
    "ClosedLayers",
    "Engine",
    "MixtureView",
    "ModelView",
    "Planner",
    "RunStatus",
]
