"""Maps of the parts of a patch that raise its probability."""
