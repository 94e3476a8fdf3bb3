"""Survival statistics for training and evaluation; scikit-survival (GPL-3) is imported only inside functions here."""
