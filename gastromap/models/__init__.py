"""Networks of GastroMAP."""

from gastromap.models.gtrnet import GTRNet
from gastromap.models.longitudinal import LongitudinalNet, SegmentationNet

__all__ = ["GTRNet", "LongitudinalNet", "SegmentationNet"]
