"""Selective scan of the longitudinal model: one function, several implementations with the same values."""

from gastromap.models.selective_scan.interface import selective_scan

__all__ = ["selective_scan"]
