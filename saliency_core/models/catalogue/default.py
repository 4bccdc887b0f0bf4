"""The model that is shown until another one is chosen: known without asking the catalogue."""

DEFAULT_MODEL = "tf_efficientnet_lite0"
DEFAULT_TITLE = "EfficientNet-Lite0"
