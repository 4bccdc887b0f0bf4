from saliency_core import render
from saliency_core.backprop.capture import Capture, LayerCapture, capture
from saliency_core.backprop.meta_step import MetaStep
from saliency_core.combine import combine, layer_weights
from saliency_core.engine.local import Engine
from saliency_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    LayerError,
    NetworkError,
    NonFiniteError,
    SaliencyError,
    TargetError,
    UnavailableError,
    UnknownNameError,
    WeightsError,
)
from saliency_core.evaluation.measures import MEASURES
from saliency_core.evaluation.plan import EvaluationPlan
from saliency_core.evaluation.result import EvaluationResult, open_results
from saliency_core.evaluation.run import evaluate
from saliency_core.evaluation.summary import summarise
from saliency_core.explain import explain, explain_classes, explain_many
from saliency_core.explanation import Explanation
from saliency_core.export.arrays import load_maps, save_maps
from saliency_core.figures.compose import compose
from saliency_core.figures.film import Film, film
from saliency_core.figures.kinds import KINDS as FIGURES
from saliency_core.figures.kinds import figure
from saliency_core.figures.picture import Picture
from saliency_core.inputs.images import ImageError, open_image
from saliency_core.inputs.preprocess import FITS, Fit, Preprocess
from saliency_core.methods.availability import unavailable
from saliency_core.methods.framework import framework
from saliency_core.methods.method import (
    AttentionPass,
    Domain,
    ExtraBackward,
    Method,
    MultiPass,
    Option,
    SharedPass,
)
from saliency_core.methods.registry import METHODS, cell_method
from saliency_core.metrics.bootstrap import Interval, difference_interval, mean_interval, mean_intervals
from saliency_core.metrics.class_comparison import compare_classes, mean_sensitivity
from saliency_core.metrics.class_sensitivity import (
    class_sensitivity,
    class_sensitivity_over,
    class_sensitivity_table,
)
from saliency_core.metrics.grids import compose_grid, grid_localisation
from saliency_core.metrics.localisation import energy_inside
from saliency_core.metrics.mixes import Mix
from saliency_core.metrics.perturbation import baseline_input, perturbation_curves, perturbed
from saliency_core.metrics.perturbation_curve import BASELINES, PerturbationCurve
from saliency_core.metrics.pointing import hits, pointing_game
from saliency_core.metrics.randomisation import randomisation_test
from saliency_core.metrics.randomisation_result import RandomisationResult
from saliency_core.metrics.randomised_network import randomisation_stages, randomised
from saliency_core.metrics.ranks import rank_correlation
from saliency_core.metrics.scores import MapScore, MapScorer, score_explanation
from saliency_core.metrics.similarity import ssim
from saliency_core.models.catalogue.catalogue import MODELS, Catalogue, ModelHit
from saliency_core.models.catalogue.default import DEFAULT_MODEL
from saliency_core.models.catalogue.details import ModelDetails
from saliency_core.models.catalogue.loading import load_checkpoint, load_classifier
from saliency_core.models.catalogue.spec import ModelSpec
from saliency_core.models.classifier import Classifier
from saliency_core.models.devices import choose_device
from saliency_core.models.layers import Layer
from saliency_core.models.targets import Target
from saliency_core.photo_sets.class_names import ClassMatch, match_classes
from saliency_core.photo_sets.folders import server_photo_set, server_photo_sets
from saliency_core.photo_sets.model import Annotation, PhotoRecord, PhotoSet
from saliency_core.photo_sets.reading import READERS, read_photo_set
from saliency_core.viewer.html import save_html
from saliency_core.viewer.notebook import NotebookView, show

__all__ = [
    "BASELINES",
    "DEFAULT_MODEL",
    "FIGURES",
    "FITS",
    "MEASURES",
    "METHODS",
    "MODELS",
    "READERS",
    "Annotation",
    "ArgumentError",
    "ArgumentTypeError",
    "AttentionPass",
    "Capture",
    "Catalogue",
    "ClassMatch",
    "Classifier",
    "Domain",
    "Engine",
    "EvaluationPlan",
    "EvaluationResult",
    "Explanation",
    "ExtraBackward",
    "Film",
    "Fit",
    "ImageError",
    "Interval",
    "Layer",
    "LayerCapture",
    "LayerError",
    "MapScore",
    "MapScorer",
    "MetaStep",
    "Method",
    "Mix",
    "ModelDetails",
    "ModelHit",
    "ModelSpec",
    "MultiPass",
    "NetworkError",
    "NonFiniteError",
    "NotebookView",
    "Option",
    "PerturbationCurve",
    "PhotoRecord",
    "PhotoSet",
    "Picture",
    "Preprocess",
    "RandomisationResult",
    "SaliencyError",
    "SharedPass",
    "Target",
    "TargetError",
    "UnavailableError",
    "UnknownNameError",
    "WeightsError",
    "baseline_input",
    "capture",
    "cell_method",
    "choose_device",
    "class_sensitivity",
    "class_sensitivity_over",
    "class_sensitivity_table",
    "combine",
    "compare_classes",
    "compose",
    "compose_grid",
    "difference_interval",
    "energy_inside",
    "evaluate",
    "explain",
    "explain_classes",
    "explain_many",
    "figure",
    "film",
    "framework",
    "grid_localisation",
    "hits",
    "layer_weights",
    "load_checkpoint",
    "load_classifier",
    "load_maps",
    "match_classes",
    "mean_interval",
    "mean_intervals",
    "mean_sensitivity",
    "open_image",
    "open_results",
    "perturbation_curves",
    "perturbed",
    "pointing_game",
    "randomisation_stages",
    "randomisation_test",
    "randomised",
    "rank_correlation",
    "read_photo_set",
    "render",
    "save_html",
    "save_maps",
    "score_explanation",
    "server_photo_set",
    "server_photo_sets",
    "show",
    "ssim",
    "summarise",
    "unavailable",
]
