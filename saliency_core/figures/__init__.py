"""Figures for papers and slides: what the viewer shows, as PNG, SVG or PDF."""
