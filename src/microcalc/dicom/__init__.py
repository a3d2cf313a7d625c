"""Findings as standard DICOM objects, and a node that exchanges them with a PACS.

Needs the extra: ``pip install ".[dicom]"``.
"""
