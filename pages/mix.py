"""Mix layers: one weight per layer, and two mixed maps that follow."""

from pages.shared import stage

stage.show("mix")
