"""GastroMAP: CT-based gastric-cancer staging on MONAI. Research use only, not for diagnosis."""

__version__ = "0.1.0"
