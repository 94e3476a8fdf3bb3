"""DICOM objects of a result: structured report, secondary captures, encapsulated PDF."""
