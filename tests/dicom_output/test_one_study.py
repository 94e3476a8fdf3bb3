"""A result without tumour and comparison is written as before there were any: digests of the files of commit 420eb6e.

Where a change of these files is meant, the new digest goes here. Pictures, HTML and PDF have tests of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pydicom
import pytest
from builders.study_result import make_study_result

from gastromap.output import write_study

CASES = {
    "baseline": {},
    "follow-up alone": {"role": "followup"},
    "not staged": {"staged": False, "reasons": ("The slices disagree.",), "prediction_set": (), "rad_score": None},
}
#: result.json without the new fields, content of the structured report without fresh UIDs.
DIGESTS = {
    "baseline": ("2a815687852c6b5b", "0bde41cd9bb7d18b"),
    "follow-up alone": ("a86f5e32d8d83500", "55ab53f07ba03e64"),
    "not staged": ("82412e59aee2e948", "aaef4bda5d228fa1"),
}


def digests(options, folder):
    result = make_study_result(**options)
    write_study(replace(result, run=replace(result.run, packages={})), folder)
    document = json.loads((folder / "result.json").read_text())
    # The version rose with the two fields, and hashes and fresh UIDs of the files are in the list.
    for name in ("files", "schema_version", "tumour", "comparison"):
        document.pop(name, None)
    content = pydicom.dcmread(folder / "dicom" / "sr.dcm").to_json_dict()["0040A730"]
    report = re.sub(r"2\.25\.\d+", "UID", json.dumps(content, sort_keys=True))
    parts = (json.dumps(document).encode(), report.encode())
    return tuple(hashlib.sha256(part).hexdigest()[:16] for part in parts)


@pytest.mark.parametrize("case", CASES)
def test_json_and_structured_report_are_those_of_before(case, tmp_path):
    assert digests(CASES[case], tmp_path) == DIGESTS[case]
