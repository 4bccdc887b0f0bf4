"""The models by name: networks, their weights, their preprocessing and their classes."""
