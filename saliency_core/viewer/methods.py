"""The registry of methods as the browser gets it: texts, formulas as MathML, and the framework's table."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from latex2mathml.converter import convert

from saliency_core.methods import registry
from saliency_core.methods.cells import AGGREGATES, EXTRACTS
from saliency_core.methods.registry import METHODS, Domain, Method, SharedPass, cell_method

ADD_CONVOLUTION = "needs a convolution or linear layer: add one with Layers"

_LETTER = re.compile(r"(<msub(?:sup)?>)(<mi>[^<]*</mi>|<mover>.*?</mover>)")
"""The base of a subscript that is one letter, with or without an accent."""


@functools.cache
def mathml(latex: str) -> str:
    """A formula of the registry as a MathML element, for browsers and screen readers alike.

    A letter that carries a subscript counts as one without a descender: else browsers put the subscript of g
    lower than that of x. The word max is a name, without the space around an operator.
    """
    found = str(convert(latex)).replace("<mo>max</mo>", "<mi>max</mi>")
    return _LETTER.sub(r'\1<mpadded depth="0">\2</mpadded>', found)


@functools.cache
def methods(convolutions: bool = False) -> tuple[Mapping[str, Any], ...]:
    """Every method of the registry, in its order: what pickers and descriptions say of it.

    `convolutions`: a convolution or linear layer can be added to those shown.
    """
    return tuple(_method(method, convolutions) for method in METHODS.values())


@functools.cache
def table() -> Mapping[str, Any]:
    """The framework's table: its rows, its columns, and the name of the method in each cell."""
    return {
        "extracts": [
            {
                "name": each.name,
                "title": each.title,
                "formula": mathml(each.formula),
                "size": each.size,
                "summary": each.summary,
            }
            for each in EXTRACTS.values()
        ],
        "aggregates": [
            {
                "name": each.name,
                "title": _sentence_case(each.title),
                "formula": mathml(each.formula),
                "summary": each.summary,
            }
            for each in AGGREGATES.values()
        ],
        "cells": [[cell_method(row, column).name for column in AGGREGATES] for row in EXTRACTS],
    }


def is_plain_cell(method: Method) -> bool:
    """Whether a method is a cell of the framework that has no other name."""
    return method.family == registry.CELL


def _method(method: Method, convolutions: bool) -> Mapping[str, Any]:
    to_add = convolutions and method.domain is Domain.CONVOLUTIONS
    return {
        "name": method.name,
        "title": method.title,
        "shortTitle": method.short_title,
        "summary": method.summary,
        "family": method.family,
        "signed": method.signed,
        "bright": method.bright,
        "dark": method.dark,
        "unit": method.unit,
        "formula": mathml(method.formula),
        "reference": method.reference,
        "url": method.url,
        # A picker mentions only extra costs.
        "cost": None if isinstance(method.kind, SharedPass) else method.cost_text,
        "costText": method.cost_text,
        "passes": method.passes or (0 if isinstance(method.kind, SharedPass) else 1),
        "needs": method.needs,
        "domain": ADD_CONVOLUTION if to_add else method.domain_text or None,
        "cell": method.cell_text,
        "plainCell": is_plain_cell(method),
        "atInput": method.domain is Domain.INPUT,
        "classSpecific": method.class_specific,
    }


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
