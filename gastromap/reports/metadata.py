"""``metadata.json``: the few facts on which a workflow branches, flat, from ``result.json`` and nothing else.

MONAI Deploy Workflow Manager reads such a file of an Argo task into ``context.executions.<task>.result.<key>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["encode_metadata", "metadata_of"]

_SIZES = ("volume_ml", "long_axis_mm", "thickness_mm")


def metadata_of(document: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """Return the facts of a result, one level deep; what is not known has no key.

    Parameters
    ----------
    document : mapping
        ``result.json``, with or without its list of files.

    Returns
    -------
    dict
        Values are text, numbers (probabilities 0 to 1, mm, ml, months, days) or truth values; lists are joined with
        commas. No patient data.
    """
    stage, key = document["stage"], document["key_slice"]
    facts: dict[str, Any] = {
        "notice": document["notice"],
        "version": document["run"]["version"],
        "stage": stage["label"],
        "confidently_staged": stage["staged"],
        "prediction_set": ",".join(stage["prediction_set"]),
        **{f"probability_{name.lower()}": value for name, value in stage["probabilities"].items()},
        "key_slice_origin": key["origin"],
        "trained_on": stage["model"]["trained_on"],
        "warnings": ",".join(document["warnings"]),
        **_sizes("tumour", document["tumour"]),
    }
    if document["nomogram"].get("stage"):
        facts["nomogram_stage"] = document["nomogram"]["stage"]
    comparison = document["comparison"]
    facts["compared"] = comparison is not None
    if comparison is not None:
        facts |= _after(comparison)
    return {name: value for name, value in facts.items() if value is not None}


def _sizes(name: str, tumour: Mapping[str, Any] | None) -> dict[str, float]:
    return {} if tumour is None else {f"{name}_{size}": tumour[size] for size in _SIZES}


def _after(comparison: Mapping[str, Any]) -> dict[str, Any]:
    sizes = _sizes("followup_tumour", comparison["followup"]["tumour"])
    facts = {"interval_days": comparison["interval_days"], **sizes}
    if comparison["stage"] is not None:
        facts["followup_stage"] = comparison["stage"]["label"]
    facts |= {f"change_{change['name']}": change["relative"] for change in comparison["changes"]}
    outlook = comparison["outlook"]
    facts["outlook"] = outlook is not None
    if outlook is not None:
        facts |= {
            "node_metastasis_probability": outlook["lnm_probability"],
            "expected_survival_months": outlook["rmst_months"],
            "risk_group": outlook["risk_group"],
        }
    return facts


def encode_metadata(document: Mapping[str, Any]) -> bytes:
    """Return ``metadata.json`` as bytes: UTF-8, no NaN."""
    return (json.dumps(metadata_of(document), ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()
