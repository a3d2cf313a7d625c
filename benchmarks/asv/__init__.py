"""Short timings and peaks of memory, for asv: compare them between commits, never between machines.

Times are of the processor, as a busy machine changes these little; only the start of the package is by the clock.
"""
