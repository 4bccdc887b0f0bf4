"""Why Grad-CAM fails: three methods at every layer of the session's photo, and what averaging keeps there."""

import streamlit as st

from pages.shared import charts as shared_charts
from pages.shared import formats, page, photos, theme, viewer_panel
from pages.shared.embedding import embedded
from pages.shared.session import Scene, Session
from pages.why import charts, texts
from pages.why.figures import PhotoFigures, photo_figures
from saliency_core.evaluation.published import NETWORKS, pointing_games
from saliency_core.viewer.payload import PhotoObject, objects_inside

POINTING = ("grad_cam", "linear_approx", "normgrad_selective", "normgrad", "gradient")


def body(current: Session, scene: Scene) -> None:
    """The pictures, with what they show on this photo beside them; embedded, the pictures alone."""
    if embedded():
        viewer_panel.draw(current, scene, "why", scene.explanation)
        return
    objects = objects_inside(scene.photo, scene.explanation.box)
    boxes = [each.box for each in objects if each.index == scene.explanation.target]
    figures: PhotoFigures = current.remember(
        "figures of averaging", scene.explanation, lambda: photo_figures(scene.explanation, boxes)
    )
    with st.container(key="why-pictures"):
        pictures, words = st.columns([3.2, 1], gap="medium")
    with pictures:
        viewer_panel.draw(current, scene, "why", scene.explanation)
    with words, st.container(key="why-words"):
        _photo(scene, figures, objects)
    st.caption(texts.DEFINITIONS)
    theme.table(texts.layer_table(figures), formats.exact_percent)


def _photo(scene: Scene, figures: PhotoFigures, objects: tuple[PhotoObject, ...]) -> None:
    """What averaging does, in words, in formulas, and in the figures of this photo."""
    label, step = scene.explanation.label, scene.request.variant
    st.markdown(texts.DIFFERENCE)
    with st.container(key="why-formulas"):  # above the words of this photo, whose length differs
        st.markdown(texts.formulas())
    st.markdown(texts.averaging(figures, label))
    if figures.area is None:
        st.markdown(texts.no_box(label, objects, own=scene.key not in photos.sample_files()))
    else:
        st.markdown(texts.inside(figures))
    if step is not None:
        st.caption(f"Everything here is of the network {formats.after_step(step)}.")


def published() -> None:
    """The authors' own figures for two networks, and what follows."""
    games, source = pointing_games()
    _heading("Not only on this photo")
    with st.container(key="why-game"):
        st.markdown(texts.GAME)
        st.markdown("\n".join(f"- {texts.game(game)}" for game in games))
    for column, game in zip(st.columns(len(games), gap="medium"), games, strict=True):
        network = NETWORKS[game.network]
        with column:
            figure = charts.published(game, f"{network}: hits in the pointing game", POINTING)
            st.plotly_chart(figure, key=f"why-{game.network}", config=shared_charts.CONFIG)
            theme.table(texts.game_table(game), formats.exact_percent)
    st.caption(f"Source: {source}")
    _heading("What follows")
    st.markdown(texts.ADVICE)


def _heading(text: str) -> None:
    st.header(text, anchor=False)


page.show(body)
if not embedded():
    published()
