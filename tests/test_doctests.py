"""The examples in the core's docstrings give what they say; those that need a download are skipped."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import saliency_core

MODULES = sorted(module.name for module in pkgutil.walk_packages(saliency_core.__path__, "saliency_core."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    names = {**vars(module), "np": np, "torch": torch}
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert doctest.testmod(module, extraglobs=names, optionflags=flags).failed == 0


def test_there_are_examples_that_run() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example
        for name in MODULES
        for found in finder.find(importlib.import_module(name))
        for example in found.examples
        if not example.options.get(doctest.SKIP)
    ]
    assert len(examples) > 5
