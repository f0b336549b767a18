"""Figures, tables, interactive maps."""
