"""Findings as standard DICOM objects, and a node that exchanges them with a PACS.

The node needs the extra: ``pip install ".[dicom]"``.
"""
