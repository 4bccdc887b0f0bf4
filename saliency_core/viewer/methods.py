"""The registry of methods as the browser gets it: texts, formulas as MathML, and the framework's table."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from latex2mathml.converter import convert

from saliency_core.methods import registry
from saliency_core.methods.framework import AGGREGATES, EXTRACTS
from saliency_core.methods.registry import METHODS, Method, cell_method

_DOMAINS = {"convolution": "convolution layers only", "input": "at the input only"}
_SIZES = {
    "bias": "C numbers",
    "scaling": "C numbers",
    "conv1x1": "C\u00a0×\u00a0C numbers",
    "conv3x3": "C\u00a0×\u00a09C numbers",
    "conv3x3_depthwise": "C\u00a0×\u00a09 numbers",
}


@functools.cache
def mathml(latex: str) -> str:
    """A formula of the registry as a MathML element, for browsers and screen readers alike."""
    return str(convert(latex))


@functools.cache
def methods() -> tuple[Mapping[str, Any], ...]:
    """Every method of the registry, in its order: what pickers and descriptions say of it."""
    return tuple(_method(method) for method in METHODS.values())


@functools.cache
def table() -> Mapping[str, Any]:
    """The framework's table: its rows, its columns, and the name of the method in each cell."""
    return {
        "extracts": [
            {
                "name": name,
                "title": registry.EXTRACT_TITLES[name],
                "formula": mathml(registry.EXTRACT_FORMULAS[name]),
                "size": _SIZES[name],
            }
            for name in EXTRACTS
        ],
        "aggregates": [
            {
                "name": name,
                "title": _sentence_case(registry.AGGREGATE_TITLES[name]),
                "formula": mathml(registry.AGGREGATE_FORMULAS[name]),
            }
            for name in AGGREGATES
        ],
        "cells": [[cell_method(row, column).name for column in AGGREGATES] for row in EXTRACTS],
    }


def is_plain_cell(method: Method) -> bool:
    """Whether a method is a cell of the framework that has no other name."""
    return method.family == registry.CELL


def _method(method: Method) -> Mapping[str, Any]:
    cell = method.cell and (
        registry.EXTRACT_TITLES[method.cell[0]],
        registry.AGGREGATE_TITLES[method.cell[1]],
    )
    return {
        "name": method.name,
        "title": method.title,
        "summary": method.summary,
        "family": method.family,
        "signed": method.signed,
        "formula": mathml(method.formula),
        "reference": method.reference,
        "url": method.url,
        # A picker mentions only extra costs.
        "cost": None if method.cost == "single" else method.cost_text,
        "costText": method.cost_text,
        "needs": method.needs,
        "domain": "ReLU networks only" if method.rule else _DOMAINS.get(method.where),
        "cell": " × ".join(cell) if cell else "",
        "plainCell": is_plain_cell(method),
    }


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
