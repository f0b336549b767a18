"""The image table, MAMe, folders, decoding, download, splits, the taxonomy of mediums."""
