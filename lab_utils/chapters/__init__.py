"""What one notebook needs beyond the rooms above."""
