"""Puts the house together: opens the rooms in order, serves, and unwinds."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Journal, Model
from moa_server.engine import Catalogue, Engine, Planner
from moa_server.journal import JOURNALS, AesSeal, Codec, is_reached, watching_store
from moa_server.models import RecordedTexts, TokenizerFile, breaker_state, build_models
from moa_server.providers import PRESETS, PROVIDERS, Transport, gives_logprobs, options_of
from moa_server.security import Callers
from moa_server.service import serving, stop_signals
from moa_server.settings import Choices, KeyCommands, KnownProvider, Reloader, Settings, load
from moa_server.strategies import STRATEGIES
from moa_server.telemetry import RunMetrics, exporting, observe_breakers, observe_open_runs, set_up_logs

_logger = structlog.get_logger(__name__)


async def serve(path: Path, settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve what a file said until the process is asked to stop; ``ready`` is told the address once it can be called.

    Raises:
        AddressUnavailable, CertificateRefused, MoaError: it cannot be served, alone or in an exception group.
    """
    async with AsyncExitStack() as stack:
        set_up_logs(settings.logging)
        stack.enter_context(exporting())
        http = await stack.enter_async_context(Transport())
        keys = await stack.enter_async_context(KeyCommands())
        journal = await stack.enter_async_context(journal_of(settings))
        reached = await is_reached(journal)
        offered, ownership, facts = catalogue(settings, http, keys, {}), settings.ownership, RunMetrics()
        engine = await stack.enter_async_context(
            Engine(offered, journal, settings.limits, ownership=ownership, breaker_of=breaker_state, on_fact=facts.see)
        )
        await stack.enter_async_context(engine.watchdog(os._exit))
        callers = Callers(settings.callers)
        observe_open_runs(engine.open_runs)
        observe_breakers(lambda: breakers(engine.catalogue.models))
        served = await stack.enter_async_context(
            serving(engine, settings.listening, settings.limits, callers, journal_reached=reached)
        )
        await stack.enter_async_context(watching_store(journal, served.health.set_journal_reached, reached=reached))

        def take_over(new: Settings) -> None:
            # What the logs and traces show is settled when the server starts.
            engine.catalogue = catalogue(replace(new, logging=settings.logging), http, keys, engine.catalogue.models)
            callers.replace(new.callers)

        reloader = Reloader(path, settings, read=partial(load, choices=choices()), apply=take_over)
        await stack.enter_async_context(reloader.watching())
        with stop_signals() as asked:
            ready(f"{settings.listening.listen.rpartition(':')[0]}:{served.port}")
            number = await asked
        _logger.info("server.asked_to_stop", signal=number.name)


def choices() -> Choices:
    """Return what a configuration can choose from."""
    providers = {
        name: KnownProvider(options_of(name), preset.endpoint, preset.settings, preset.reasons)
        for name, preset in PRESETS.items()
    }
    journals = {name: kind.options for name, kind in JOURNALS.items()}
    return Choices(providers, STRATEGIES, journals, AesSeal.from_file, TokenizerFile.read, gives_logprobs)


def journal_of(settings: Settings) -> AbstractAsyncContextManager[Journal]:
    """Return the journal that was chosen; it is entered before use."""
    said = settings.journal
    codec = Codec(None if said.key_file is None else AesSeal.from_file(said.key_file))
    return JOURNALS[said.kind].open(said.options, settings.limits.retention, codec, settings.ownership.ownership_s)


def catalogue(settings: Settings, http: Transport, keys: KeyCommands, previous: Mapping[str, Model]) -> Catalogue:
    """Return what the engine offers; models that are as they were keep their state."""

    def provided(spec: ModelSpec) -> Model:
        provider = PROVIDERS[spec.provider](replace(spec, api_key=keys.key(spec.api_key)), http)
        return RecordedTexts(provider) if settings.logging.record_texts else provider

    models = build_models(settings.models.values(), provided, previous=previous)
    return Catalogue(models, settings.mixtures, STRATEGIES, settings.agents, settings.default_mixture)


def explaining(settings: Settings) -> Callable[[Mixture], Plan]:
    """Return what plans a mixture; its models are made, and nothing is called."""
    return Planner(catalogue(settings, Transport(), KeyCommands(), {}), settings.limits).describe


def breakers(models: Mapping[str, Model]) -> dict[str, str]:
    """Return the state of each model's breaker, of those that have one."""
    states = {name: breaker_state(model) for name, model in models.items()}
    return {name: state for name, state in states.items() if state is not None}
