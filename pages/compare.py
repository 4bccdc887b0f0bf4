"""Compare: two methods side by side at one depth, and the strip of all layers."""

from pages.shared import stage

stage.show("compare")
