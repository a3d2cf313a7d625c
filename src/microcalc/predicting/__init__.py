"""A committee asked about files: predictions and explanations, a batch at a time."""
