"""What training needs beside MONAI: a datalist with checked splits, mixed precision, a card, publishing."""

from gastromap.training.best import BestWeights
from gastromap.training.caching import cached_dataset
from gastromap.training.class_weights import class_weights
from gastromap.training.cpu import BackgroundLoader, keep_memory
from gastromap.training.datalist import read_datalist, with_leakage_notice
from gastromap.training.inferer import AutocastInferer, best_precision
from gastromap.training.localisation import LocalisedIteration
from gastromap.training.outputs import negative_log_likelihood, scores_and_labels, scores_and_one_hot
from gastromap.training.resuming import is_main_process, resume, start_from
from gastromap.training.tracking import WithValidationMetrics, local_mlflow

__all__ = [
    "AutocastInferer",
    "BackgroundLoader",
    "BestWeights",
    "LocalisedIteration",
    "WithValidationMetrics",
    "best_precision",
    "cached_dataset",
    "class_weights",
    "is_main_process",
    "keep_memory",
    "local_mlflow",
    "negative_log_likelihood",
    "read_datalist",
    "resume",
    "scores_and_labels",
    "scores_and_one_hot",
    "start_from",
    "with_leakage_notice",
]
