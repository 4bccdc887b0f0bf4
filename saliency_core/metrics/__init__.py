"""Metrics of saliency maps: rank correlation, class sensitivity, localisation."""
