"""Tries that the service keeps its word: faults (`chaos`), overload (`overload`), bad input (`fuzz`), long load (`soak`)."""
