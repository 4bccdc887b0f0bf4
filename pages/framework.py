"""Framework: the paper's extract × aggregate table as live maps, and all named methods at all layers."""

from pages.shared import stage

stage.show("framework")
