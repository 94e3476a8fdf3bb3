"""Find and measure the tumour in a whole portal-venous CT."""

from gastromap.segmentation.finder import FinderNetwork, LazyTumourFinder, TumourFinder, TumourFinding
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.measures import TumourMeasures, measure_tumour

__all__ = [
    "FinderLimits",
    "FinderNetwork",
    "LazyTumourFinder",
    "TumourFinder",
    "TumourFinding",
    "TumourMeasures",
    "measure_tumour",
]
