"""What must hold for everything that is applied: pure functions from rendered objects to the faults found."""

from k8s.tests.rules import configuration, drain, hardening, images, network, probes, scaling, selectors
from k8s.tests.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *configuration.RULES,
    *drain.RULES,
    *hardening.RULES,
    *images.RULES,
    *network.RULES,
    *probes.RULES,
    *scaling.RULES,
    *selectors.RULES,
)

PRODUCTION_RULES: tuple[Rule, ...] = images.PRODUCTION_RULES
