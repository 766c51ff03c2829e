"""The faults that the rules are there for."""

from k8s.tests.faults import configuration, drain, hardening, images, network, probes, scaling, selectors
from k8s.tests.faults.reach import Planted

PLANTED: Planted = {
    **configuration.PLANTED,
    **drain.PLANTED,
    **hardening.PLANTED,
    **images.PLANTED,
    **network.PLANTED,
    **probes.PLANTED,
    **scaling.PLANTED,
    **selectors.PLANTED,
}
