"""What every room needs: errors, records, settings, the table of chapters, locks, the store."""
