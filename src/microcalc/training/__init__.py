"""Splits, the training loop, the search, the experts and the committee's weights."""
