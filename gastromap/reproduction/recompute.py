"""Figures of the article recomputed from the released tables, each beside what was printed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.assemble import EvaluationPlan, evaluate_table
from gastromap.evaluation.metrics import number_needed_to_treat, over_and_under_treatment
from gastromap.evaluation.ranking import ordinal_c_index
from gastromap.evaluation.stages import STAGES
from gastromap.nomogram import NomogramModel, fit_nomogram
from gastromap.nomogram.model import COEFFICIENTS
from gastromap.rad_score import fit_rad_score
from gastromap.reproduction.release import Release, patient_of

__all__ = ["recompute"]

#: Printed in the article: Table 2 (training set), and the counts behind its over- and under-treatment.
PRINTED = {"accuracy": 0.901, "macro AUC": 0.98}
TREATMENT = {
    "model": {"n": 239, "positives": 120, "false_positives": 5, "false_negatives": 6},
    "endoscopic ultrasound": {"n": 239, "positives": 120, "false_positives": 31, "false_negatives": 42},
}


def recompute(release: Release, *, seed: int = 0) -> dict[str, Any]:
    """Recompute what the release allows.

    Parameters
    ----------
    release : Release
    seed : int
        Of bootstrap and folds.

    Returns
    -------
    dict
        Ready for JSON: ``outputs``, ``split``, ``clinical``, ``treatment``, ``rad_score``, ``nomogram``, ``files``.
    """
    return {
        "outputs": _outputs(release, seed),
        "split": _split(release),
        "clinical": _clinical(release),
        "treatment": _treatment(),
        **_models(release, seed),
        "files": release.sha256,
    }


def _outputs(release: Release, seed: int) -> dict[str, Any]:
    rows = [
        {
            "PatientID": patient_of(name),
            "case": name,
            "stage": STAGES[label],
            "predicted": STAGES[predicted],
            **{f"prob_{stage}": float(p) for stage, p in zip(STAGES, probabilities, strict=True)},
        }
        for name, label, predicted, probabilities in zip(
            release.names, release.labels, release.predicted, release.probabilities, strict=True
        )
    ]
    metrics = evaluate_table(rows, EvaluationPlan(seed=seed))["stages"]["metrics"]
    return {
        "slices": len(rows),
        "patients": len({row["PatientID"] for row in rows}),
        "right": int((release.labels == release.predicted).sum()),
        "likeliest_is_predicted": int((release.probabilities.argmax(1) == release.predicted).sum()),
        "accuracy": metrics["accuracy"],
        "macro AUC": metrics["auc"]["macro"],
        "kappa linear": metrics["kappa"]["linear"],
        "kappa quadratic": metrics["kappa"]["quadratic"],
        "printed": PRINTED,
    }


def _split(release: Release) -> dict[str, Any]:
    lists = release.lists
    training, test = set(release.names), set(lists["test list"])
    patients = {key: {patient_of(name) for name in names} for key, names in lists.items()}
    trained = {patient_of(name) for name in training}
    everything = set(lists["training list"])
    per_patient: dict[str, int] = defaultdict(int)
    for name in everything:
        per_patient[patient_of(name)] += 1
    counts = np.unique(list(per_patient.values()), return_counts=True)
    return {
        "rows_of_training_list": len(lists["training list"]),
        "patients_of_training_list": len(patients["training list"]),
        "slices_a_patient": {int(size): int(count) for size, count in zip(*counts, strict=True)},
        "test_rows": len(lists["test list"]),
        "test_rows_in_training_list": sum(name in everything for name in lists["test list"]),
        "test_patients": len(patients["test list"]),
        "test_patients_with_training_outputs": len(patients["test list"] & trained),
        "test_rows_with_training_outputs": len(test & training),
        "external_rows": [len(lists["first external list"]), len(lists["second external list"])],
    }


def _clinical(release: Release) -> dict[str, Any]:
    """Whether the rows of one patient's slices say the same of the patient."""
    rows: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    stages: dict[str, set[int]] = defaultdict(set)
    slices: dict[str, int] = defaultdict(int)
    for name, row, label in zip(release.feature_names, release.clinical_rows, release.feature_labels, strict=True):
        patient = patient_of(name)
        rows[patient].add(row)
        stages[patient].add(int(label))
        slices[patient] += 1
    several = [patient for patient, count in slices.items() if count > 1]
    labels = dict(zip(release.names, release.labels.tolist(), strict=True))
    shared = [name for name in release.feature_names if name in labels]
    return {
        "patients": len(slices),
        "patients_with_several_slices": len(several),
        "of_these_with_different_clinical_rows": sum(len(rows[patient]) > 1 for patient in several),
        "of_these_with_different_stages": sum(len(stages[patient]) > 1 for patient in several),
        "slices_with_outputs_and_features": len(shared),
        "equal_stage_in_both": sum(
            labels[name] == label
            for name, label in zip(release.feature_names, release.feature_labels.tolist(), strict=True)
            if name in labels
        ),
    }


def _treatment() -> dict[str, Any]:
    found = {}
    for name, counts in TREATMENT.items():
        over, under = over_and_under_treatment(
            n=counts["n"],
            false_positives=counts["false_positives"],
            false_negatives=counts["false_negatives"],
        )
        needed = number_needed_to_treat(**counts)
        found[name] = {
            **counts,
            "over_treatment": float(over),
            "under_treatment": float(under),
            "number_needed_to_treat": float(needed),
        }
    return found


def _models(release: Release, seed: int) -> dict[str, Any]:
    """Rad-score and nomogram fitted on the released rows, scored as they were fitted and by patient left out."""
    patients = [patient_of(name) for name in release.feature_names]
    score = fit_rad_score(
        release.features, [STAGES[label] for label in release.feature_labels], seed=seed, patients=patients
    )
    own = np.asarray(score.score(release.features), dtype=float)
    left_out = _left_out(release, patients, seed)
    published = NomogramModel.published()
    fits = {}
    for name, values in (("scores of the rows it was fitted on", own), ("scores of patients left out", left_out)):
        model = fit_nomogram(
            {
                # Row by row, as the authors did; so the standard errors take slices for patients.
                "rad_score": ((values - values.mean()) / values.std()).tolist(),
                **release.clinical,
                "stage": [STAGES[label] for label in release.feature_labels],
            }
        )
        fits[name] = {
            "coefficients": {key: float(model.coefficients[key]) for key in COEFFICIENTS},
            "standard_errors": {key: float((model.standard_errors or {})[key]) for key in COEFFICIENTS},
            "thresholds": [float(value) for value in model.thresholds],
        }
    return {
        "rad_score": {
            "features_given": release.features.shape[1],
            "features_kept": len(score.feature_indices),
            "c_index_fitted": float(ordinal_c_index(own, release.feature_labels)),
            "c_index_left_out": float(ordinal_c_index(left_out, release.feature_labels)),
        },
        "nomogram": {
            "published": {
                "coefficients": {key: float(published.coefficients[key]) for key in COEFFICIENTS},
                "thresholds": [float(value) for value in published.thresholds],
            },
            "refit": fits,
        },
    }


def _left_out(release: Release, patients: list[str], seed: int) -> NDArray[np.float64]:
    """Score of each row by a Rad-score that has not seen its patient (five folds)."""
    number = np.unique(patients, return_inverse=True)[1]
    fold = np.random.default_rng(seed).permutation(int(number.max()) + 1)[number] % 5
    scores = np.empty(len(patients))
    for k in range(5):
        rest = np.flatnonzero(fold != k)
        score = fit_rad_score(
            release.features[rest],
            [STAGES[label] for label in release.feature_labels[rest]],
            seed=seed,
            patients=[patients[i] for i in rest],
        )
        scores[fold == k] = score.score(release.features[fold == k])
    return scores
