"""What the original claims, and what decides it."""
