"""Executed notebooks and records to HTML and PDF."""
