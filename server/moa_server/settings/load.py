"""Reads a configuration file as settings, or refuses it with everything that is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec, Secret
from moa_server.domain.operation import KnownCaller
from moa_server.domain.quantities import Form, Mark, NameOf
from moa_server.settings.derived import MarkedType, at_key, in_the_file, keys_of, leaves
from moa_server.settings.document import check_readable, read
from moa_server.settings.file import FileSection, JournalSection, file_section
from moa_server.settings.mixtures import Fit, Mixtures
from moa_server.settings.problem import ConfigurationRefused, Place, Problems, unknown
from moa_server.settings.reader import Surroundings
from moa_server.settings.secret import check_kept
from moa_server.settings.settings import Choices, JournalChoice, KnownProvider, Settings
from moa_server.settings.units import check_address
from moa_server.settings.validation import read_section, read_what_is_sound

_SECTIONS: Final[Mapping[str, str]] = {"model": "models", "agent": "agents", "mixture": "mixtures"}
"""Where the file gives names, by what is named."""


def load(path: Path, choices: Choices) -> Settings:
    """Return what a file says.

    Raises:
        ConfigurationRefused: it cannot be served; all its problems are told at once.
    """
    return settings_of(read(path), path.parent, choices)


def settings_of(data: dict[str, Any], folder: Path, choices: Choices) -> Settings:
    """Return what the data of a file in that folder says.

    Raises:
        ConfigurationRefused: it cannot be served; all its problems are told at once.
    """
    names = {kind: tuple(data[key]) if isinstance(data.get(key), dict) else () for kind, key in _SECTIONS.items()}
    names |= {"provider": tuple(choices.providers), "strategy": tuple(choices.strategies)}
    kind = file_section(tuple(choices.journals.items()))
    file, found = read_what_is_sound(kind, data, Surroundings(folder, names))
    if file is None:
        raise ConfigurationRefused(found)
    problems = Problems(found)
    _check_what_is_named(kind, file, names, problems)
    settings = _settings(file, data, choices, problems)
    if problems.found:
        raise ConfigurationRefused(problems.found)
    return settings


def _check_what_is_named(
    kind: type[FileSection], file: FileSection, names: Mapping[str, Sequence[str]], problems: Problems
) -> None:
    """Note every name, file and secret that is not there, every address that is none, and what is named twice."""
    for leaf in leaves(MarkedType(kind), file):
        named = leaf.type.mark(NameOf)
        if named is not None and leaf.value not in names[named.kind]:
            problems.add(leaf.place, unknown(named.kind, leaf.value, names[named.kind]))
        if Mark.DISTINCT in leaf.type.marks:
            for index, name in enumerate(leaf.value):
                if name in leaf.value[:index]:
                    problems.add((*leaf.place, index), f"names {name!r} again; keep one")
        if Mark.READABLE in leaf.type.marks:
            problems.tried(leaf.place, partial(check_readable, leaf.value))
        if Form.ADDRESS in leaf.type.marks:
            problems.tried(leaf.place, partial(check_address, leaf.value))
        if leaf.type.bare is Secret:
            problems.tried(leaf.place, partial(check_kept, leaf.value))


def _settings(file: FileSection, data: Mapping[str, Any], choices: Choices, problems: Problems) -> Settings:
    """Make settings of what the file says, and note what does not go together."""
    models = {name: _model(spec, data["models"][name], choices, problems) for name, spec in file.models.items()}
    for agent in file.agents.values():
        asked, spec = agent.sampling.max_tokens, models.get(agent.model)
        if spec is None:
            continue
        place = ("agents", agent.name, "sampling")
        if asked is not None and asked > spec.max_output:
            wrong = f"{asked} is more than model {spec.name!r} may write"
            problems.add((*place, "max_tokens"), f"{wrong}; write at most its max_output of {spec.max_output}")
        _check_reasoning(place, agent.sampling.reasoning_tokens, spec.most_output(agent.sampling), problems)
    # In the place of refused limits stand the defaults, by which nobody asked to be judged.
    limits = None if problems.under(("limits",)) else file.limits
    mixtures = Mixtures(choices.strategies, file.agents, Fit(models, limits, problems))
    for sentence in file.server.problems(0.0 if limits is None else limits.run_time.maximum_s):
        key, rest = at_key(type(file.server), sentence)
        problems.add(("server", key) if key else ("server",), rest)
    made = {name: mixtures.mixture(name, section) for name, section in file.mixtures.items()}
    callers = tuple(file.server.callers.values())
    _check_tokens(callers, problems)
    return Settings(
        models=models,
        agents=file.agents,
        mixtures=made,
        default_mixture=file.default_mixture or next(iter(file.mixtures)),
        limits=file.limits,
        listening=file.server.listening,
        callers=callers,
        logging=file.telemetry,
        journal=_journal(file.journal, choices, problems),
        ownership=file.journal.ownership,
        without_signal={}
        if problems.found
        else {name: _without_signal(mixture, models, choices) for name, mixture in made.items()},
    )


def _without_signal(mixture: Mixture, models: Mapping[str, ModelSpec], choices: Choices) -> tuple[Agent, ...]:
    """Return the agents of a mixture that are to be judged by log-probabilities and whose models give none."""
    strategy = choices.strategies[mixture.strategy]
    layers = strategy.outlined(mixture.roster, strategy.read(mixture.options), mixture.rules)
    asked = dict.fromkeys(agent for layer in layers if layer.logprobs for agent in layer.agents)
    return tuple(agent for agent in asked if not choices.gives_logprobs(models[agent.model]))


def _model(spec: ModelSpec, said: Mapping[str, Any], choices: Choices, problems: Problems) -> ModelSpec:
    """Return a model with what follows where the file is silent."""
    place, provider = ("models", spec.name), choices.providers.get(spec.provider)
    most = spec.max_output if "max_output" in said else min(spec.max_output, max(spec.window // 4, 1))
    if most >= spec.window:
        right = "leave room for a prompt: a quarter of the window is usual"
        problems.add((*place, "max_output"), f"{most} fills the window of {spec.window}; {right}")
    _check_reasoning(place, spec.reasoning_tokens, most, problems)
    for index, fallback in enumerate(spec.reliability.fallbacks):
        if fallback == spec.name:
            problems.add((*place, "fallbacks", index), "is the model itself; name another or remove it")
    endpoint = spec.endpoint
    if provider is not None:
        endpoint = endpoint or provider.endpoint
        if not endpoint:
            right = "write the base URL, such as https://models.example/v1"
            problems.add((*place, "endpoint"), f"is missing, and {spec.provider} has none of its own; {right}")
        spec = replace(spec, dialect=_dialect((*place, "dialect"), spec.dialect, provider, problems))
        if spec.reasons is None:
            spec = replace(spec, reasons=provider.reasons and endpoint == (provider.endpoint or endpoint))
    if spec.tokenizer is not None and not problems.under((*place, "tokenizer")):
        try:
            spec = replace(spec, counted_by=choices.read_tokenizer(spec.tokenizer))
        except ValueError as error:
            problems.add((*place, "tokenizer"), str(error))
    return replace(spec, endpoint=endpoint, upstream_model=spec.upstream_model or spec.name, max_output=most)


def _check_reasoning(place: Place, reasoned: int | None, most: int, problems: Problems) -> None:
    """Note tokens of reasoning that leave none for the answer."""
    if reasoned is not None and reasoned >= most:
        wrong = f"{reasoned} leaves none of the {most} tokens of output for the answer"
        problems.add((*place, "reasoning_tokens"), f"{wrong}; write less, or raise max_tokens and max_output")


def _dialect(place: Place, said: Mapping[str, Any], provider: KnownProvider, problems: Problems) -> Mapping[str, Any]:
    """Return what is said under ``dialect`` by the fields of its options, without what the preset or nobody says."""
    fields = {key.path[-1]: key for key in keys_of(provider.options)}
    preset = {fields[name].name: in_the_file(fields[name].type, value) for name, value in provider.settings.items()}
    # Checked together with what the preset says, since some settings only make sense beside others.
    options, wrong = read_section(provider.options, {**preset, **said}, place)
    problems.found += wrong
    return {} if options is None else {name: key.value_in(options) for name, key in fields.items() if key.name in said}


def _check_tokens(callers: Sequence[KnownCaller], problems: Problems) -> None:
    holders: dict[str, str] = {}
    for caller in callers:
        place = ("server", "callers", caller.name, "token")
        if problems.under(place):
            continue  # it cannot be read
        other = holders.setdefault(caller.token.reveal(), caller.name)
        if other != caller.name:
            wrong = f"is the same as that of {other}, so that nobody can tell who calls"
            problems.add(place, f"{wrong}; give each its own")


def _journal(section: JournalSection, choices: Choices, problems: Problems) -> JournalChoice:
    chosen = section.chosen()
    if len(chosen) > 1:
        problems.add(("journal",), f"names {' and '.join(sorted(chosen))}; keep one")
    default = next(iter(choices.journals))
    kind, options = next(iter(chosen.items()), (default, choices.journals[default]()))
    if section.encryption is None:
        return JournalChoice(kind, options)
    place = ("journal", "encryption")
    if kind == default:
        problems.add(place, "has nothing to seal, since runs are kept in memory; remove it")
    if not problems.under(place):
        problems.tried((*place, "keys", "file"), partial(choices.read_keys, section.encryption.keys.file))
    return JournalChoice(kind, options, section.encryption.keys.file)
