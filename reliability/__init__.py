"""Tries that the service keeps its word: faults (`chaos`), bad input (`fuzz`), long load (`soak`)."""
