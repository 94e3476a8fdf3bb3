"""Find and measure the tumour in a whole portal-venous CT."""

from gastromap.segmentation.finder import FinderNetwork, TumourFinder, TumourFinding
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.measures import TumourMeasures, measure_tumour

__all__ = ["FinderLimits", "FinderNetwork", "TumourFinder", "TumourFinding", "TumourMeasures", "measure_tumour"]
