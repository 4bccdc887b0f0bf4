"""Class sensitivity: two classes, their maps, how alike they are, and what a meta step changes."""
