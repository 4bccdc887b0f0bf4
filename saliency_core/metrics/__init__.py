"""Metrics of saliency maps: rank correlation and class sensitivity."""
