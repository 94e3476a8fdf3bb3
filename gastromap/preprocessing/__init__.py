"""From Hounsfield units to the network's input: one object for training, evaluation and deployment."""

from gastromap.preprocessing.slice import PreparedSlice, PreprocessingProfile, SlicePreprocessing

__all__ = ["PreparedSlice", "PreprocessingProfile", "SlicePreprocessing"]
