"""Makes the domain's agents of the section ``agents``."""

from collections.abc import Collection, Mapping

from moa_server.domain.agent import Agent
from moa_server.domain.model import ModelSpec
from moa_server.domain.sampling import Sampling
from moa_server.settings.findings import Findings
from moa_server.settings.mixture_section import AgentSection, SamplingSection


def agent(
    name: str, section: AgentSection, models: Mapping[str, ModelSpec], names: Collection[str], findings: Findings
) -> Agent:
    """Return one agent; what is wrong with it is noted. ``names`` are those of all models, the refused ones too."""
    place = ("agents", name)
    findings.named((*place, "model"), "model", section.model, names)
    findings.once((*place, "labels"), section.labels)
    asked, spec = section.sampling.max_tokens, models.get(section.model)
    if spec is not None and asked is not None and asked > spec.max_output:
        wrong = f"{asked} is more than model {spec.name!r} may write"
        findings.add((*place, "sampling", "max_tokens"), f"{wrong}; write at most its max_output of {spec.max_output}")
    sampling = _sampling(section.sampling)
    return Agent(name, section.model, section.instructions, sampling, section.weight, section.labels)


def _sampling(section: SamplingSection) -> Sampling:
    return Sampling(
        temperature=section.temperature,
        top_p=section.top_p,
        max_tokens=section.max_tokens,
        seed=section.seed,
        stop=section.stop,
        presence_penalty=section.presence_penalty,
        frequency_penalty=section.frequency_penalty,
    )
