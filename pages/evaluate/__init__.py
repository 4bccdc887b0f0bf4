"""The page Evaluate: three questions to the maps of a photo, and the same over a set of photos."""
