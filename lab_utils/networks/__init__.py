"""Pretrained networks and the networks from scratch: what they are, not how they are trained."""
