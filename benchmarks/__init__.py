"""Speed of GastroMAP, measured beside named peers in the same run: ``python -m benchmarks``."""
