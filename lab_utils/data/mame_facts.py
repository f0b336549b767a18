"""Two tables of facts about MAMe, computed from its metadata: what the sample imitates and what lots are called."""

from pathlib import Path

import pandas as pd

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of aspect ratio and megapixels, in the order of their columns


def by_museum() -> pd.DataFrame:
    """Images of MAMe by medium and museum: counts by split, quantiles of aspect ratio and of size in megapixels."""
    return pd.read_csv(Path(__file__).with_name("mame_facts.csv"))


def big_lots() -> pd.DataFrame:
    """Accession lots of at least 90 images of one medium in MAMe, and the border give-away that the sample draws."""
    return pd.read_csv(Path(__file__).with_name("mame_lots.csv"), dtype={"lot": str}, keep_default_na=False)
