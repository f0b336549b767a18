"""The generated default: the generator and its tables of facts."""
