"""Holoscan operators of GastroMAP: each receives, calls the library and emits."""

from operators.dicom_loader import DicomLoaderOperator
from operators.grad_cam import GradCamOperator
from operators.key_slice import KeySliceOperator
from operators.longitudinal import LongitudinalOperator
from operators.nomogram import NomogramOperator
from operators.preprocessing import PreprocessingOperator
from operators.result_writer import ResultWriterOperator
from operators.series_selector import SeriesSelectorOperator
from operators.t_stage import TStageOperator

__all__ = [
    "DicomLoaderOperator",
    "GradCamOperator",
    "KeySliceOperator",
    "LongitudinalOperator",
    "NomogramOperator",
    "PreprocessingOperator",
    "ResultWriterOperator",
    "SeriesSelectorOperator",
    "TStageOperator",
]
