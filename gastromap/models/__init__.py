"""Networks of GastroMAP."""

from gastromap.models.gtrnet import GTRNet

__all__ = ["GTRNet"]
