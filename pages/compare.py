"""Compare: two methods side by side at one depth, and the strip of all layers."""

from pages.frame import stage

stage.show("compare")
