"""Numbers with intervals, metrics, calibration, training curves."""
