"""The registry of methods as the browser gets it: texts, formulas as MathML, and the framework's table."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from latex2mathml.converter import convert

from saliency_core.methods import registry
from saliency_core.methods.framework import AGGREGATES, EXTRACTS
from saliency_core.methods.registry import METHODS, Domain, Method, SharedPass, cell_method

ADD_CONVOLUTION = "needs a convolution: add one with Layers"


@functools.cache
def mathml(latex: str) -> str:
    """A formula of the registry as a MathML element, for browsers and screen readers alike."""
    return str(convert(latex))


@functools.cache
def methods(convolutions: bool = False) -> tuple[Mapping[str, Any], ...]:
    """Every method of the registry, in its order: what pickers and descriptions say of it.

    `convolutions`: a layer that is a convolution can be added to those shown.
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
            }
            for each in EXTRACTS.values()
        ],
        "aggregates": [
            {
                "name": each.name,
                "title": _sentence_case(each.title),
                "formula": mathml(each.formula),
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
        "needs": method.needs,
        "domain": ADD_CONVOLUTION if to_add else method.domain_text or None,
        "cell": method.cell_text,
        "plainCell": is_plain_cell(method),
        "atInput": method.domain is Domain.INPUT,
    }


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
