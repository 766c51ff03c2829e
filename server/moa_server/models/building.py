"""Makes the models of a configuration, and keeps what is known of those that have not changed."""

from collections.abc import Callable, Iterable, Mapping

from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.models.circuit import Watch
from moa_server.models.stack import Wrapped, core, unwatched


def build_models(
    specs: Iterable[ModelSpec],
    make_provider: Callable[[ModelSpec], Model],
    *,
    previous: Mapping[str, Model] | None = None,
    watch: Watch = unwatched,
) -> dict[str, Model]:
    """Make the models, each wrapped as its rules say.

    Of ``previous``, the models before a reload, those with the same spec keep their provider and their state; a model
    is the same object still unless one of its rivals and fallbacks has changed.

    Raises:
        ValueError: a rule names a model that is not there, or a fallback is the model itself or named twice.
    """
    wanted = {spec.name: spec for spec in specs}
    for spec in wanted.values():
        _check(spec, wanted)
    kept = {name: model for name, model in (previous or {}).items() if isinstance(model, Wrapped)}
    cores = {
        name: kept[name].core if name in kept and kept[name].spec == spec else core(make_provider(spec), spec, watch)
        for name, spec in wanted.items()
    }
    models: dict[str, Model] = {}
    for name, spec in wanted.items():
        others = {other: cores[other] for other in spec.reliability.others}
        same = name in kept and kept[name].made_of(cores[name], others)
        models[name] = kept[name] if same else Wrapped(cores[name], others)
    return models


def breaker_state(model: Model) -> str | None:
    """Return the state of a model's breaker; None if it has none."""
    return model.breaker.value if isinstance(model, Wrapped) and model.breaker else None


def _check(spec: ModelSpec, known: Mapping[str, ModelSpec]) -> None:
    for name in spec.reliability.others:
        if name not in known:
            raise ValueError(f"model {spec.name}: {name}, which is to stand in for it, is not configured")
    fallbacks = spec.reliability.fallbacks
    if spec.name in fallbacks:
        raise ValueError(f"model {spec.name} cannot stand in for itself")
    if len(set(fallbacks)) < len(fallbacks):
        raise ValueError(f"model {spec.name}: a fallback is named twice")
