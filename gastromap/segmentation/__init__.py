"""Find and measure the tumour in a whole portal-venous CT."""

from gastromap.segmentation.finder import TumourFinder, TumourFinding
from gastromap.segmentation.measures import TumourMeasures, measure_tumour

__all__ = ["TumourFinder", "TumourFinding", "TumourMeasures", "measure_tumour"]
