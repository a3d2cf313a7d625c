"""Short timings and peaks of memory, for asv: compare them between commits, never between machines."""
