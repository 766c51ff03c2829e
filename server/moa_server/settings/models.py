"""Makes the domain's models of the section ``models``."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from moa_server.domain.model import ModelSpec, Secret, TimeLimits
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Price
from moa_server.settings.catalogue import Catalogue, KnownProvider
from moa_server.settings.findings import Findings
from moa_server.settings.model_section import (
    BreakerSection,
    ConcurrencySection,
    HedgeSection,
    ModelSection,
    PriceSection,
    RetrySection,
    TimesSection,
)
from moa_server.settings.problem import Place
from moa_server.settings.secret import SecretSection, opened

_MOST_OUTPUT = ModelSpec("", "", "", "").max_output


class Models:
    """Makes models, given what there is to choose from."""

    def __init__(self, catalogue: Catalogue, folder: Path, names: Collection[str], findings: Findings) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._names = names
        """Of all models in the file, the refused ones too."""
        self._findings = findings

    def spec(self, name: str, section: ModelSection) -> ModelSpec:
        """Return one model; what is wrong with it is noted."""
        place: Place = ("models", name)
        self._findings.named((*place, "provider"), "provider", section.provider, self._catalogue.providers)
        provider = self._catalogue.providers.get(section.provider)
        self._check_others(place, name, section)
        return ModelSpec(
            name=name,
            provider=section.provider,
            endpoint=self._endpoint(place, section, provider),
            upstream_model=section.model or name,
            api_key=self._secret((*place, "api_key"), section.api_key),
            window=section.window,
            max_output=self._max_output(place, section),
            price=_price(section.price),
            images=section.images,
            times=_times(section.times),
            dialect=self._dialect(place, section, provider),
            reliability=self._reliability(place, section),
        )

    def _check_others(self, place: Place, name: str, section: ModelSection) -> None:
        for index, fallback in enumerate(section.fallbacks):
            if fallback == name:
                self._findings.add((*place, "fallbacks", index), "is the model itself; name another or remove it")
            self._findings.named((*place, "fallbacks", index), "model", fallback, self._names)
        self._findings.once((*place, "fallbacks"), section.fallbacks)
        if section.hedge is not None:
            self._findings.named((*place, "hedge", "model"), "model", section.hedge.model, self._names)

    def _endpoint(self, place: Place, section: ModelSection, provider: KnownProvider | None) -> str:
        endpoint = section.endpoint or (provider.endpoint if provider is not None else "")
        if not endpoint and provider is not None:
            right = "write the base URL, such as https://models.example/v1"
            self._findings.add((*place, "endpoint"), f"is missing, and {section.provider} has none of its own; {right}")
        return endpoint

    def _dialect(self, place: Place, section: ModelSection, provider: KnownProvider | None) -> Mapping[str, Any]:
        if provider is None:
            return section.dialect
        return self._findings.tried((*place, "dialect"), lambda: provider.read_dialect(section.dialect)) or {}

    def _max_output(self, place: Place, section: ModelSection) -> int:
        most = section.max_output or min(_MOST_OUTPUT, max(section.window // 4, 1))
        if most >= section.window:
            right = "leave room for a prompt: a quarter of the window is usual"
            self._findings.add((*place, "max_output"), f"{most} fills the window of {section.window}; {right}")
        return most

    def _secret(self, place: Place, section: SecretSection | None) -> Secret | None:
        if section is None:
            return None
        return self._findings.tried(place, lambda: opened(section, self._folder))

    def _reliability(self, place: Place, section: ModelSection) -> Reliability:
        return Reliability(
            retry=_retry(section.retry),
            concurrency=self._concurrency((*place, "concurrency"), section),
            breaker=_breaker(section.breaker),
            hedge=_hedge(section.hedge),
            fallbacks=section.fallbacks,
        )

    def _concurrency(self, place: Place, section: ModelSection) -> ConcurrencyRule:
        said = section.concurrency
        if isinstance(said, int):
            return ConcurrencyRule(limit=said)
        if said.adaptive and not said.least <= (said.limit or 0) <= said.most:
            wrong = f"adapts between {said.least} and {said.most} without a limit between them to begin with"
            self._findings.add(place, f"{wrong}; write limit")
        return _concurrency(said)


def _concurrency(section: ConcurrencySection) -> ConcurrencyRule:
    return ConcurrencyRule(section.limit, section.adaptive, section.least, section.most, section.longest_wait)


def _price(section: PriceSection | None) -> Price | None:
    if section is None:
        return None
    return Price(section.input, section.output, section.cached_input, section.reasoning)


def _times(section: TimesSection) -> TimeLimits:
    return TimeLimits(section.connect, section.first_token, section.idle, section.total)


def _retry(section: RetrySection) -> RetryRule:
    return RetryRule(
        attempts=section.attempts,
        base_s=section.base,
        most_s=section.most,
        longest_hint_s=section.longest_hint,
        share=section.share,
        window_s=section.window,
        least_in_window=section.least_in_window,
        per_run=section.per_run,
    )


def _breaker(section: BreakerSection) -> BreakerRule | None:
    if not section.enabled:
        return None
    return BreakerRule(section.share, section.least_calls, section.window, section.open)


def _hedge(section: HedgeSection | None) -> HedgeRule | None:
    if section is None:
        return None
    return HedgeRule(section.model, section.quantile, section.least_seen, section.share)
