"""Short timings, of the processor, and peaks of memory. Compare them between commits, never between machines."""
