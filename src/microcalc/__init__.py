"""Tells normal breast tissue from clusters of microcalcifications in mammograms."""
