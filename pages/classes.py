"""Class sensitivity: two classes' maps, how alike they are, and what a meta step changes."""

from pages.frame import sensitivity

sensitivity.show()
