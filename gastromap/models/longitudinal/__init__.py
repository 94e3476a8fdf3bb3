"""Longitudinal network: two CT scans of a patient, lymph-node metastasis and overall survival."""

from gastromap.models.longitudinal.encoder import Encoder, EncoderMaps
from gastromap.models.longitudinal.heads import LongitudinalOutput
from gastromap.models.longitudinal.network import LongitudinalNet
from gastromap.models.longitudinal.presets import PRESETS, Preset
from gastromap.models.longitudinal.segmentation import SegmentationNet

__all__ = ["PRESETS", "Encoder", "EncoderMaps", "LongitudinalNet", "LongitudinalOutput", "Preset", "SegmentationNet"]
