"""The measurements behind every published number: the baseline, this service and, where installed, infinity."""
