"""Tries that the service keeps its word: faults (`chaos`), overload, bad input (`fuzz`) and long load (`soak`)."""
