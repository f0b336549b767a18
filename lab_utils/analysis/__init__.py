"""Analyses: arrays in, plain results out; no disk, no plot, no notebook."""
