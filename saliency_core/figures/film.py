"""Films: one figure many times, while the depth, the weights of the layers or the meta step change."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from saliency_core.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from saliency_core.explanation import Explanation
from saliency_core.figures import fonts
from saliency_core.figures.kinds import KINDS, figure
from saliency_core.figures.maps import Other
from saliency_core.figures.panels import CAPTION, MARGIN
from saliency_core.figures.picture import Picture
from saliency_core.figures.sheet import Item, Raster, Sheet, Theme
from saliency_core.files import file_path, write_file
from saliency_core.models.layers import layer_name
from saliency_core.progress import ProgressCallback, no_progress
from saliency_core.registry import Registry, chosen_names, listed, unknown
from saliency_core.viewer import formats
from saliency_core.viewer.complete import complete
from saliency_core.viewer.payload import ClassComparison, DisplayPhoto, SweepPoint

FORMATS: Final = ("gif", "webp")
SCALES: Final = (1, 2)
MAX_FRAMES: Final = 100
MAX_PIXELS: Final = 100_000_000
"""Pixels of all frames together."""
STEPS: Final = 5
"""Frames from one layer to the next while weights change."""
SAMPLES: Final = 6
"""Frames of which a GIF's colours are chosen."""
NEAR: Final = 8

TRACK = 34
"""Height of the line at the top that says where the film is."""
TRACK_LABEL = 92
DOT = 9


@dataclass(frozen=True)
class Frame:
    """One frame before it is drawn: its explanations, its view, and what stands at the top."""

    explanation: Explanation
    other: Other
    view: Mapping[str, Any]
    value: str
    """What has changed, in words."""
    seconds: float
    bars: tuple[float, ...] = ()
    """The weights of the layers; none where a dot on a line says where the film is."""


@dataclass(frozen=True)
class Over:
    """What can change in a film."""

    name: str
    title: str
    kinds: tuple[str, ...]
    """The kinds of figures in which it changes something."""
    frames: Callable[[Asked], list[Frame]]


@dataclass(frozen=True)
class Asked:
    """What a film is asked for."""

    explanation: Explanation
    other: Other
    kind: str
    view: Mapping[str, Any]
    sweep: Sequence[Any] | None
    steps: int


OVER: Registry[Over] = Registry("kind of film")


def film(
    explanation: Explanation,
    over: str = "depth",
    *,
    kind: str = "pair",
    other: Other = None,
    sweep: Sequence[Any] | None = None,
    steps: int = STEPS,
    methods: str | Iterable[str] | None = None,
    photo: Image.Image | DisplayPhoto | None = None,
    dark: bool = False,
    **view: Any,
) -> Film:
    """A film of a figure, for a slide or a web page; every frame is what :func:`saliency_core.figure` draws.

    Args:
        explanation: of a photo.
        over: what changes: "depth" (the layer, from input to output), "weights" (the layers are mixed, and
            the weight moves from the first one to the last) or "epsilon" (the size of the meta step).
        kind: of the figures: "panel", "pair", "classes", …; see ``sc.FIGURES``.
        other: the explanation of the second class, for "classes"; see :func:`saliency_core.figure`.
        sweep: what the film runs through. For "depth" layers, all of them if None. For "weights" the weights
            of every frame, one number per layer or a mapping from layers. For "epsilon", where it is needed,
            explanations after steps of several sizes, in their order; for "classes" pairs of them, one for
            each class.
        steps: for "weights" without a sweep: frames from one layer to the next.
        methods, photo, dark, view: as for :func:`saliency_core.figure`, which also lists the errors.

    Raises:
        UnknownNameError: an unknown film, or a kind of figure in which nothing would change.
        ArgumentError, ArgumentTypeError: a sweep that cannot be used, or one of more than 100 frames.

    >>> sc.film(e, "depth").save("depth.gif")  # doctest: +SKIP
    >>> steps = [sc.explain(clf, image, meta=sc.MetaStep(lr)) for lr in (0, 0.0025, 0.01)]  # doctest: +SKIP
    >>> sc.film(e, "epsilon", kind="panel", sweep=steps).save("steps.webp", scale=2)  # doctest: +SKIP
    """
    entry = OVER[over]
    KINDS[kind]
    if kind not in entry.kinds:
        raise UnknownNameError(unknown(f"figure for a film over {over}", kind, entry.kinds))
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MAX_FRAMES:
        raise ArgumentError(f"steps is {steps!r}; expected a whole number from 1 to {MAX_FRAMES}")
    if not isinstance(explanation, Explanation):
        raise ArgumentTypeError(f"a film was asked for of {explanation!r}; expected an Explanation")
    names = None if methods is None else chosen_names(methods, "method")
    given = None if sweep is None else listed(sweep, "sweep", "what the film runs through")
    frames = entry.frames(Asked(explanation, other, kind, view, given, steps))
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise ArgumentError(
            f"the film would have {len(frames)} frame{'s' * (len(frames) != 1)}; expected 2 to {MAX_FRAMES}"
        )
    pictures = [
        figure(each.explanation, kind, other=each.other, methods=names, photo=photo, dark=dark, **each.view)
        for each in frames
    ]
    width, height = max(each.width for each in pictures), max(each.height for each in pictures)
    # Even sides, which encoders of video want.
    size = width + width % 2, height + TRACK + (height + TRACK) % 2
    return Film(
        tuple(_page(picture, entry, frames, at, size) for at, picture in enumerate(pictures)),
        tuple(each.seconds for each in frames),
    )


@dataclass(frozen=True, eq=False, repr=False)
class Film:
    """Figures of one size, each shown so many `seconds`; at its end the film starts again."""

    pictures: tuple[Picture, ...]
    seconds: tuple[float, ...]

    def __repr__(self) -> str:
        first = self.pictures[0]
        return (
            f"<Film: {len(self.pictures)} frames, {first.width} × {first.height} pt, {sum(self.seconds):g} s>"
        )

    def save(
        self, path: str | os.PathLike[str], scale: int = 1, *, progress: ProgressCallback = no_progress
    ) -> Path:
        """Write an animated GIF or WebP, as the suffix says; returns its path.

        Args:
            path: ends in .gif or .webp. A GIF has 256 colours, a WebP all of them in a smaller file.
            scale: pixels per point, 1 or 2.
            progress: called with (frames done, frames in all); what it raises stops the work.

        Raises:
            UnknownNameError: another suffix.
            ArgumentError: another scale, too many pixels, or a file that cannot be written.
        """
        file = file_path(path)
        data = self.to_bytes(file.suffix.removeprefix(".").lower(), scale, progress=progress)
        write_file(file, data)
        return file

    def to_bytes(
        self, format: str = "gif", scale: int = 1, *, progress: ProgressCallback = no_progress
    ) -> bytes:
        """The content of the file; arguments and errors as for :meth:`save`."""
        if not isinstance(format, str) or format not in FORMATS:
            raise UnknownNameError(unknown("format", format, FORMATS))
        if type(scale) is not int or scale not in SCALES:
            raise ArgumentError(f"scale is {scale!r}; expected 1 or 2 pixels per point")
        first, count = self.pictures[0], len(self.pictures)
        pixels = first.width * first.height * scale * scale * count
        if pixels > MAX_PIXELS:
            raise ArgumentError(
                f"the film would have {pixels / 1e6:.0f} megapixels in {count} frames; at most "
                f"{MAX_PIXELS / 1e6:.0f}: take fewer frames{' or scale=1' * (scale > 1)}"
            )
        colors = self._palette() if format == "gif" else None

        def draw(at: int) -> Image.Image:
            image = self.pictures[at].image(scale)
            progress(at + 1, count)
            return image if colors is None else image.quantize(palette=colors, dither=Image.Dither.NONE)

        buffer = io.BytesIO()
        durations = [round(100 * each) * 10 for each in self.seconds]
        options = {"quality": 90, "method": 4} if format == "webp" else {"optimize": False}
        _Reel(draw, count).save(buffer, format, save_all=True, duration=durations, loop=0, **options)
        return buffer.getvalue()

    def images(self, scale: int = 1) -> Iterator[Image.Image]:
        """The frames in pixels, RGB."""
        return (picture.image(scale) for picture in self.pictures)

    def _palette(self) -> Image.Image:
        """256 colours for all frames: with some for each frame, what stands still would flicker.

        Those of the page as they are, and the others chosen for the pictures.
        """
        theme = self.pictures[0].theme
        page = list(
            dict.fromkeys((theme.paper, theme.ink, theme.muted, theme.line, theme.quiet, theme.accent))
        )
        count = len(self.pictures)
        chosen = sorted({round(i * (count - 1) / (SAMPLES - 1)) for i in range(SAMPLES)})
        parts = [each.paint(each.height, each.width) for at in chosen for each in _rasters(self.pictures[at])]
        pixels = np.concatenate([part.reshape(-1, 3) for part in parts])[None]
        others = Image.fromarray(pixels).quantize(256 - len(page), Image.Quantize.MEDIANCUT, kmeans=1)
        more = np.array(others.getpalette(), np.int16).reshape(-1, 3)
        found = np.concatenate([np.array(page, np.int16), more])
        # Pillow takes cells of 4 levels together: a colour that is nearly one of the page's would replace it.
        near = np.abs(found[:, None] - found[None, : len(page)]).max(axis=2) < NEAR
        found = np.where(near.any(axis=1)[:, None], found[near.argmax(axis=1)], found)
        palette = Image.new("P", (1, 1))
        palette.putpalette(found.astype(np.uint8).tobytes())
        return palette

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """For notebooks: the film itself."""
        return {"text/plain": repr(self), "image/gif": base64.b64encode(self.to_bytes()).decode()}


def _rasters(picture: Picture) -> Iterator[Raster]:
    return (item for item in picture.items if isinstance(item, Raster))


class _Reel(Image.Image):
    """Frames as Pillow's writers take them, each drawn when it is asked for: they are never all in memory."""

    def __init__(self, draw: Callable[[int], Image.Image], count: int) -> None:
        super().__init__()
        self.n_frames, self.is_animated = count, count > 1
        self._draw, self._at = draw, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        if frame >= self.n_frames:
            raise EOFError("no more frames")
        if frame == self._at:
            return
        image = self._draw(frame)
        self.im, self._mode, self._size = image.im, image.mode, image.size
        self.palette, self._at = image.palette, frame

    def tell(self) -> int:
        return self._at


# -- what changes --------------------------------------------------------------------------------------------


def _over(name: str, title: str, *kinds: str) -> Callable[[Callable[[Asked], list[Frame]]], None]:
    def register(frames: Callable[[Asked], list[Frame]]) -> None:
        OVER.add(name, Over(name, title, kinds, frames))

    return register


@_over("depth", "Depth", "panel", "pair", "framework", "classes")
def _depth(asked: Asked) -> list[Frame]:
    e = asked.explanation
    names = [layer_name(each) for each in (e.layers if asked.sweep is None else asked.sweep)]
    return [
        Frame(e, asked.other, {**asked.view, "layer": name}, name, 1.8 if at == len(names) - 1 else 0.8)
        for at, name in enumerate(names)
    ]


@_over("weights", "Weights", "panel", "pair", "framework")
def _weights(asked: Asked) -> list[Frame]:
    e = asked.explanation
    layers = [layer.name for layer in e.layers]
    sweep = _moving(len(layers), asked.steps) if asked.sweep is None else asked.sweep
    last = len(sweep) - 1
    frames = []
    for at, given in enumerate(sweep):
        view = {**asked.view, "mixed": True, "weights": given}
        found = complete(view, e)["weights"]
        bars = tuple(map(float, found)) if isinstance(found, tuple) else ()
        heavy = [name for name, weight in zip(layers, bars, strict=True) if weight > 0]
        value = f"{len(heavy)} layers" if len(heavy) > 2 else " + ".join(heavy) or "no layer"
        frames.append(Frame(e, None, view, value, 1.5 if at == last else 0.16, bars))
    return frames


def _moving(layers: int, steps: int) -> list[tuple[float, ...]]:
    """All weight at the first layer, then in so many steps at the next one, up to the last."""
    places = [step / steps for step in range(steps * (layers - 1) + 1)]
    return [tuple(max(0.0, 1 - abs(place - at)) for at in range(layers)) for place in places]


@_over("epsilon", "Meta step", *KINDS)
def _epsilon(asked: Asked) -> list[Frame]:
    other, sweep, view = asked.other, asked.sweep, asked.view
    if sweep is None and isinstance(other, ClassComparison):
        sweep = other.sweep
    if sweep is None:
        raise ArgumentError(
            "a film over epsilon needs sweep, explanations after steps of several sizes: "
            "[sc.explain(classifier, image, meta=sc.MetaStep(lr)) for lr in (0, 0.0025, 0.01)]"
        )
    frames = []
    for at, each in enumerate(sweep):
        seconds = 1.8 if at == len(sweep) - 1 else 0.8
        if (
            isinstance(each, SweepPoint)
            and isinstance(other, ClassComparison)
            and KINDS[asked.kind].needs_other
        ):
            # The second class and its steps belong together: the view says which step is shown.
            shown = {**view, "epsilon": each.epsilon}
            frames.append(Frame(asked.explanation, other, shown, _size(each.epsilon), seconds))
            continue
        first, second = _pair(each, other)
        size = 0.0 if first.meta is None else first.meta.lr
        frames.append(Frame(first, second, view, _size(size), seconds))
    return frames


def _size(epsilon: float) -> str:
    return f"ε = {formats.epsilon(epsilon)}" if epsilon else "without a step"


def _pair(given: Any, other: Other) -> tuple[Explanation, Other]:
    """An explanation of the sweep, or one for each class."""
    if isinstance(given, SweepPoint):
        return given.first, given.second
    if isinstance(given, Explanation):
        return given, other
    both = listed(given, "sweep", "explanations, or pairs of them")
    if len(both) != 2 or not all(isinstance(each, Explanation) for each in both):
        raise ArgumentTypeError(f"sweep contains {given!r}; expected an explanation, or a pair of them")
    return both[0], both[1]


# -- the line at the top -------------------------------------------------------------------------------------


def _page(picture: Picture, over: Over, frames: Sequence[Frame], at: int, size: tuple[int, int]) -> Picture:
    """A figure below the line that says where the film is."""
    sheet = Sheet(picture.theme)
    frame = frames[at]
    middle = MARGIN - 4 + TRACK / 2 - 8
    sheet.text(MARGIN, middle + CAPTION * 0.36, over.title, CAPTION, weight=fonts.STRONG)
    value = f"{frame.value} · {at + 1} of {len(frames)}" if not frame.bars else frame.value
    room = 0.42 * size[0]
    sheet.text(
        size[0] - MARGIN,
        middle + CAPTION * 0.36,
        value,
        CAPTION,
        color=picture.theme.muted,
        align="right",
        room=room,
    )
    widest = max(fonts.width(each.value, CAPTION) for each in frames) + 70
    left, right = MARGIN + TRACK_LABEL, size[0] - MARGIN - min(widest, room) - 12
    if frame.bars:
        _bars(sheet, frame.bars, left, right, middle)
    else:
        _dots(sheet, picture.theme, len(frames), at, left, right, middle)
    moved = (_lower(item) for item in picture.items)
    return replace(picture, width=size[0], height=size[1], items=(*sheet.items, *moved))


def _lower(item: Item) -> Item:
    """What a figure consists of, below the line."""
    if isinstance(item, Raster):
        return replace(item, y=item.y + TRACK)
    return replace(item, y=item.y + TRACK)


def _dots(sheet: Sheet, theme: Theme, count: int, at: int, left: float, right: float, middle: float) -> None:
    """A line with a mark for every frame, and a dot at this one."""
    sheet.box(left, middle - 1, right - left, 2, fill=theme.line, radius=1)
    step = (right - left) / (count - 1)
    here = left + at * step
    sheet.box(left, middle - 1, max(here - left, 0.1), 2, fill=theme.accent)
    for index in range(count):
        x, done = left + index * step, index <= at
        sheet.box(x - 1.5, middle - 1.5, 3, 3, fill=theme.accent if done else theme.muted, radius=1.5)
    sheet.box(here - DOT / 2, middle - DOT / 2, DOT, DOT, fill=theme.accent, radius=DOT / 2)


def _bars(sheet: Sheet, weights: Sequence[float], left: float, right: float, middle: float) -> None:
    """A bar for the weight of every layer, from left to right."""
    theme, tall = sheet.theme, 20.0
    step = min((right - left) / len(weights), 34.0)
    for index, weight in enumerate(weights):
        x, width, bottom = left + index * step, step - 4, middle + tall / 2
        sheet.box(x, bottom - tall, width, tall, fill=theme.quiet, radius=2)
        if weight > 0:
            height = max(tall * weight, 1.0)
            sheet.box(x, bottom - height, width, height, fill=theme.accent)
