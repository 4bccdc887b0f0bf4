"""Why Grad-CAM fails: what averaging the gradient keeps at every layer of the session's photo."""

from pages.shared import article, stage

article.opening()
stage.show("compare", pair=article.PAIR, below=article.measured)
article.published()
