"""From a researcher's folder of studies and spreadsheet to a datalist, and checks of datalists.

``pipeline`` prepares a cohort, ``auditing`` checks one. Nothing here shows patient data: rows are named by
their number, patients by a pseudonym. The one file that ties pseudonyms to patients is written by ``identities``.
"""
