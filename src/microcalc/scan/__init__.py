"""Whole mammograms: from pixels and their size to findings."""
