"""Writes out the layers of a mixture, whichever way they are given."""

from collections.abc import Iterator

from moa_server.settings.findings import Findings
from moa_server.settings.mixture_section import MixtureSection, RepeatSection
from moa_server.settings.problem import Place

_MOST_LAYERS = 64

Named = tuple[tuple[Place, str], ...]
"""The agents of a layer, each with where it is named."""


def layers(section: MixtureSection, place: Place, findings: Findings) -> tuple[Named, ...]:
    """Return the names of each layer's agents."""
    here = (*place, "layers")
    said = section.layers
    texts = tuple(((*here, index), name) for index, name in enumerate(said) if isinstance(name, str))
    if texts and len(texts) < len(said):
        findings.add(here, "mixes names with lists; write one list of names, or lists only")
        return ()
    written = (texts,) if texts else tuple(_written(section, here))
    for index, layer in enumerate(written):
        if not layer:
            findings.add((*here, index), "has no agents; name at least one or remove the layer")
    if len(written) > _MOST_LAYERS:
        findings.add(here, f"are {len(written)} layers; at most {_MOST_LAYERS} can be written")
    return written[:_MOST_LAYERS]


def _written(section: MixtureSection, place: Place) -> Iterator[Named]:
    for index, form in enumerate(section.layers):
        if isinstance(form, RepeatSection):
            named = tuple(((*place, index, "agents", at), name) for at, name in enumerate(form.agents))
            yield from (named for _ in range(form.repeat))
        else:
            yield tuple(((*place, index, at), name) for at, name in enumerate(form))
