"""Many files: inputs by name or manifest, one task for each file, one store that a second run goes on with, tables."""
