"""Networks of GastroMAP; those for volumes are imported from :mod:`gastromap.models.longitudinal`.

Staging a slice needs none of them, so importing this package does not read them.
"""

from gastromap.models.gtrnet import GTRNet

__all__ = ["GTRNet"]
