"""What of the T-staging article (doi 10.1038/s41746-025-02002-5) can be recomputed from its release."""

from gastromap.reproduction.page import render_reproduction
from gastromap.reproduction.recompute import recompute
from gastromap.reproduction.release import Release, read_release

__all__ = ["Release", "read_release", "recompute", "render_reproduction"]
