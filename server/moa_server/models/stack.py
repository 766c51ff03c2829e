"""Puts the wrappers around a provider, in the one order in which they make sense.

From the outside in:

    Fallback        asks other models once all below has failed for good, and shares the time out among them; beside
                    them it tries a model again that was left alone, so that nobody waits for that
    Hedge           races a rival against a slow call, its waits and retries included
    Retry           asks again; above the queue, so that back-off holds no place
    Adjust          asks again without a parameter that the model refuses; inside of Retry, whose rules do not count it
    Gate            turns calls away while the circuit is open; above the queue, so that nobody waits in vain
    Limit           hands out places; a place is held as long as a physical call lasts, and no longer
    Breaker         lets one probe through and notes how physical calls end and how long they are silent; below the
                    queue, whose waits say nothing
    Accounted       enters the physical call in account and trace
    RecordedTexts   adds its texts to the trace, where the operator wants it; whoever makes the provider puts it around
    provider        makes it

A rule that is absent leaves its wrapper out. Rivals are asked below their own Retry: a hedge is one more call at most,
but for what their endpoint refuses of it.
A model may be its own rival, where another replica may answer sooner. Fallbacks are asked with their retries, but never
with their own rivals and fallbacks: who may stand in for a model is that model's list and nothing else, so that two
models can stand in for one another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.models.accounted import Accounted
from moa_server.models.adjust import Adjust
from moa_server.models.breaker import Breaker, Gate
from moa_server.models.circuit import BreakerState, Circuit, Watch
from moa_server.models.fallback import Fallback, Trial
from moa_server.models.hedge import Hedge
from moa_server.models.limit import Limit
from moa_server.models.retry import Retry


def unwatched(name: str, state: BreakerState) -> None:
    """Let a breaker turn without telling anybody."""


@dataclass(frozen=True, slots=True, eq=False)
class Core:
    """A model as far as it needs no other: its physical calls, and itself asked again."""

    spec: ModelSpec
    """As the operator wrote it; a provider may complete its own copy."""
    once: Model
    """One call at most, but for parameters that are refused."""
    patient: Model
    """With retries."""
    circuit: Circuit | None


def core(provider: Model, spec: ModelSpec, watch: Watch = unwatched) -> Core:
    """Wrap a provider in what needs no other model."""
    rules = spec.reliability
    # The provider's own copy of the spec knows whether anything comes before the answer is whole.
    circuit = Circuit(spec.name, rules.breaker, provider.spec.times, watch) if rules.breaker.enabled else None
    model: Model = Accounted(provider)
    if circuit is not None:
        model = Breaker(model, circuit)
    if rules.concurrency.limit is not None or rules.concurrency.adaptive:
        model = Limit(model, rules.concurrency)
    if circuit is not None:
        model = Gate(model, circuit)
    once = Adjust(model)
    patient = Retry(once, rules.retry) if rules.retry.attempts else once
    return Core(spec, once, patient, circuit)


class ModelStack:
    """A model as the engine is given it: the whole stack."""

    def __init__(self, own: Core, others: Mapping[str, Core]) -> None:
        self.core = own
        self._others = dict(others)
        self._model = own.patient
        rules = self.spec.reliability
        if rules.hedge is not None:
            self._model = Hedge(self._model, others[rules.hedge.model].once, rules.hedge)
        if rules.fallbacks:
            trial = Trial(own.once, own.circuit) if own.circuit is not None else None
            self._model = Fallback(self._model, [others[name].patient for name in rules.fallbacks], trial)

    @property
    def spec(self) -> ModelSpec:
        return self.core.spec

    @property
    def breaker(self) -> BreakerState | None:
        """The state of its breaker; None if it has none."""
        return self.core.circuit.state if self.core.circuit else None

    def made_of(self, own: Core, others: Mapping[str, Core]) -> bool:
        """Tell whether it is the wrapping of just these."""
        return self.core == own and self._others == others

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        return await self._model.speak(prompt, terms)


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
    kept = {name: model for name, model in (previous or {}).items() if isinstance(model, ModelStack)}
    cores = {
        name: kept[name].core if name in kept and kept[name].spec == spec else core(make_provider(spec), spec, watch)
        for name, spec in wanted.items()
    }
    models: dict[str, Model] = {}
    for name, spec in wanted.items():
        others = {other: cores[other] for other in spec.reliability.others}
        same = name in kept and kept[name].made_of(cores[name], others)
        models[name] = kept[name] if same else ModelStack(cores[name], others)
    return models


def breaker_state(model: Model) -> str | None:
    """Return the state of a model's breaker; None if it has none."""
    return model.breaker.value if isinstance(model, ModelStack) and model.breaker else None


def _check(spec: ModelSpec, known: Mapping[str, ModelSpec]) -> None:
    for name in spec.reliability.others:
        if name not in known:
            raise ValueError(f"model {spec.name}: {name}, which is to stand in for it, is not configured")
    fallbacks = spec.reliability.fallbacks
    if spec.name in fallbacks:
        raise ValueError(f"model {spec.name} cannot stand in for itself")
    if len(set(fallbacks)) < len(fallbacks):
        raise ValueError(f"model {spec.name}: a fallback is named twice")
