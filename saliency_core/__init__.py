"""Backpropagation saliency methods from one forward and one backward pass.

After S.-A. Rebuffi, R. Fong, X. Ji, A. Vedaldi, *There and Back Again: Revisiting Backpropagation
Saliency Methods*, CVPR 2020.

>>> import saliency_core as sc
>>> clf = sc.load_classifier()  # doctest: +SKIP
>>> e = sc.explain(clf, sc.open_image("cat.jpg"))  # doctest: +SKIP
>>> mixed = sc.combine([e.map("normgrad", layer.name) for layer in e.layers])  # doctest: +SKIP

The public names are those in ``__init__.pyi``; each is imported when it is first used.
"""

import sys

from saliency_core.deferred import import_lazily

__all__ = import_lazily(sys.modules[__name__])
