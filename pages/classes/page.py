"""Class sensitivity: two classes' maps, how alike they are, and what a meta step changes."""

from pages.shared import sensitivity

sensitivity.show()
