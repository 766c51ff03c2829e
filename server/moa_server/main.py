"""Puts the house together: reads the configuration, opens the rooms in order, serves, and unwinds."""

import argparse
import asyncio
import gc
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import structlog

from moa_server import settings as say
from moa_server.domain.errors import MoaError
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec
from moa_server.domain.operation import Listening, Logging, Ownership, Tls
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Journal, Model
from moa_server.engine import Catalogue, Engine, Planner
from moa_server.journal import JOURNALS, AesSeal, Codec, JournalKind, Seal, is_reached, until_reached
from moa_server.models import RecordedTexts, breaker_state, build_models
from moa_server.providers import PRESETS, PROVIDERS, Transport, read_settings
from moa_server.security import Caller, Callers, KnownCaller
from moa_server.service import (
    AddressUnavailable,
    CertificateRefused,
    Serving,
    loop_factory,
    serving,
    stop_signals,
)
from moa_server.settings import ConfigurationRefused, KnownProvider, Reloader, Settings, json_schema, load, render_check
from moa_server.strategies import STRATEGIES
from moa_server.telemetry import RunMetrics, exporting, observe_breakers, observe_open_runs, set_up_logs

_REFUSED = 1
_Error = TypeVar("_Error", bound=Exception)
_GARBAGE = (20_000, 10, 10)
"""Objects, and rounds of the younger generation, before each generation is searched; a tenth of a run's CPU goes
into Python's own numbers."""
_logger = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the server."""
    chosen = _parser().parse_args(arguments)
    lines: list[str] = []
    try:
        chosen.run(chosen)
    # With a star, since what goes wrong while the rooms are open comes out of their task groups.
    except* ConfigurationRefused as refused:
        lines += [str(problem) for error in _leaves(refused) for problem in error.problems]
    except* (AddressUnavailable, CertificateRefused, MoaError) as errors:
        lines += map(str, _leaves(errors))
    if lines:
        _give_up(*lines)


def _leaves(group: ExceptionGroup[_Error]) -> Iterator[_Error]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moa-server", description="Mixture of Agents as a gRPC microservice.")
    parser.add_argument("--version", action="version", version=version("moa-server"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, help_text in (
        ("serve", _serve, "serve what a configuration says"),
        ("check", _check, "validate a configuration and show what its mixtures come to"),
        ("migrate", _migrate, "bring the journal's schema up to this version"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
        command.set_defaults(run=run)
    commands.add_parser("schema", help="print the JSON Schema of the configuration").set_defaults(run=_schema)
    return parser


def _check(chosen: argparse.Namespace) -> None:
    settings = load(chosen.config, _choices())
    _seal(settings)
    print(render_check(settings, _explain(settings)))


def _schema(_chosen: argparse.Namespace) -> None:
    print(json.dumps(json_schema(_choices()), indent=2))


def _migrate(chosen: argparse.Namespace) -> None:
    kind, options = _chosen_journal(load(chosen.config, _choices()))
    if kind.migrate is None:
        print("the journal is in memory, and has no schema")
    else:
        print(f"the journal's schema is at step {asyncio.run(kind.migrate(options))}")


def _serve(chosen: argparse.Namespace) -> None:
    settings = load(chosen.config, _choices())
    _collect_less_often()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_served(chosen.config, settings))


def _collect_less_often() -> None:
    """Leave what was made by the start alone, and look for cycles less often: there are few, and looking is dear."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


async def _served(path: Path, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        _set_up_logs(settings)
        stack.enter_context(exporting())
        http = await stack.enter_async_context(Transport())
        journal = await stack.enter_async_context(_journal(settings))
        ready = await is_reached(journal)
        callers = Callers(_known_callers(settings))
        engine = await stack.enter_async_context(
            Engine(
                _catalogue(settings, http, {}),
                journal,
                settings.limits,
                ownership=_ownership(settings),
                breaker_of=breaker_state,
                on_fact=RunMetrics().see,
            )
        )
        observe_open_runs(engine.open_runs)
        observe_breakers(lambda: _breakers(engine))
        served = await stack.enter_async_context(
            serving(engine, _listening(settings), settings.limits, callers, ready=ready)
        )
        if not ready:
            await stack.enter_async_context(_ready_in_time(journal, served))

        def take_over(new: Settings) -> None:
            # What the logs and traces show is settled when the server starts.
            engine.catalogue = _catalogue(replace(new, telemetry=settings.telemetry), http, engine.catalogue.models)
            callers.replace(_known_callers(new))

        reloader = Reloader(path, settings, read=partial(load, catalogue=_choices()), apply=take_over)
        await stack.enter_async_context(_watched(reloader))
        with stop_signals() as asked:
            print(json.dumps({"ready": _address(settings, served.port)}), flush=True)
            number = await asked
        _logger.info("server.asked_to_stop", signal=number.name)


@asynccontextmanager
async def _ready_in_time(journal: Journal, served: Serving) -> AsyncIterator[None]:
    """Say that the server is ready once its journal answers.

    It stays ready when the journal goes away later: no other server could do better, and callers come back to the runs
    that go on here.
    """

    async def wait() -> None:
        await until_reached(journal)
        served.health.set_ready(True)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait(), name="wait for the journal")
        try:
            yield
        finally:
            waiting.cancel()


@asynccontextmanager
async def _watched(reloader: Reloader) -> AsyncIterator[None]:
    """Take over changes of the configuration while the context lasts."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(reloader.watch(), name="reload")
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            watching.cancel()


def _set_up_logs(settings: Settings) -> None:
    said = settings.telemetry
    set_up_logs(Logging(said.log_level, said.log_form, said.record_texts))


def _journal(settings: Settings) -> AbstractAsyncContextManager[Journal]:
    kind, options = _chosen_journal(settings)
    return kind.open(options, settings.limits.retention, Codec(_seal(settings)), settings.journal.ownership_s)


def _chosen_journal(settings: Settings) -> tuple[JournalKind[Any], Any]:
    """Return the kind of journal, and what the configuration says of it."""
    store = settings.journal.store
    kind = JOURNALS[store.kind]
    return kind, kind.options(**{field.name: getattr(store, field.name) for field in fields(kind.options)})


def _ownership(settings: Settings) -> Ownership:
    said = settings.journal
    return Ownership(said.ownership_s, said.most_owners)


def _seal(settings: Settings) -> Seal | None:
    """Return what seals texts at rest, if anything is to.

    Raises:
        ConfigurationRefused: the key file holds no keys.
    """
    path = settings.journal.key_file
    try:
        return None if path is None else AesSeal.from_file(path)
    except (OSError, ValueError) as error:
        raise ConfigurationRefused([say.Problem(("journal", "encryption", "keys", "file"), str(error))]) from None


def _breakers(engine: Engine) -> dict[str, str]:
    states = ((name, breaker_state(model)) for name, model in engine.catalogue.models.items())
    return {name: state for name, state in states if state is not None}


def _choices() -> say.Catalogue:
    """Return what a configuration can choose from."""
    providers = {name: KnownProvider(preset.endpoint, partial(read_settings, name)) for name, preset in PRESETS.items()}
    return say.Catalogue(providers, STRATEGIES, frozenset(JOURNALS))


def _catalogue(settings: Settings, http: Transport, previous: Mapping[str, Model]) -> Catalogue:
    """Return what the engine offers; models that are as they were keep their state."""

    def provided(spec: ModelSpec) -> Model:
        provider = PROVIDERS[spec.provider](spec, http)
        return RecordedTexts(provider) if settings.telemetry.record_texts else provider

    models = build_models(settings.models.values(), provided, previous=previous)
    return Catalogue(models, settings.mixtures, STRATEGIES, settings.agents, settings.default_mixture)


def _explain(settings: Settings) -> Callable[[Mixture], Plan]:
    """Return what plans a mixture; its models are made, and nothing is called."""
    catalogue = _catalogue(settings, Transport(), {})
    return Planner(catalogue, settings.limits).describe


def _known_callers(settings: Settings) -> list[KnownCaller]:
    return [
        KnownCaller(Caller(name, None if one.mixtures is None else frozenset(one.mixtures)), one.token)
        for name, one in settings.server.callers.items()
    ]


def _listening(settings: Settings) -> Listening:
    server = settings.server
    return Listening(
        server.listen,
        Tls(server.tls.cert, server.tls.key, server.tls.client_ca) if server.tls else None,
        server.reflection,
        server.health_listen,
        server.drain_grace_s,
        server.max_connection_age_s,
        server.max_connection_age_grace_s,
    )


def _address(settings: Settings, port: int) -> str:
    return f"{settings.server.listen.rpartition(':')[0]}:{port}"


def _give_up(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    raise SystemExit(_REFUSED)
