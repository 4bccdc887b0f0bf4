"""Photo sets on the server: the sub-folders and zip files of the folder ``SALIENCY_DATA``."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from saliency_core.errors import ArgumentError, SaliencyError, UnknownNameError
from saliency_core.photo_sets.model import PhotoSet
from saliency_core.photo_sets.reading import read_photo_set
from saliency_core.registry import unknown

MAX_SETS: Final = 100
