"""How good the predictions are, and how sure we can be of it."""
