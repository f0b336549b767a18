"""Helpers behind the notebooks of the MAMe transfer-learning lab. Nothing runs at import."""
