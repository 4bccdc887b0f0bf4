"""Why Grad-CAM fails: what averaging the gradient keeps at every layer of the session's photo."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import saliency_core as sc
from pages.shared import charts as shared_charts
from pages.shared import page, theme, viewer_panel
from pages.shared.session import Scene, Session
from pages.why import charts, texts
from pages.why.figures import COMPARED, REFERENCE, LayerFigures, layer_figures, pointing_games

POINTING = ("grad_cam", "linear_approx", "normgrad_selective", "normgrad", "gradient")


def opening() -> None:
    """What Grad-CAM does differently, in words and in two formulas."""
    words, formulas = _columns()
    with words:
        _heading("One number per channel")
        st.markdown(texts.OPENING)
    with formulas, st.container(key="why-formulas"):
        for name in (REFERENCE, "grad_cam"):
            method = sc.METHODS[name]
            with st.container(border=True):
                st.markdown(f"**{method.title}**")
                st.latex(method.formula)
    _heading("On your photo")
    st.markdown(texts.WATCH)


def body(current: Session, scene: Scene) -> None:
    """The viewer, and the figures of the photo with the layer in the viewer marked."""
    viewer_panel.two_methods(current, scene, "compare")
    figures = current.tasks.computed(
        ("layer figures", scene.request),
        lambda _: layer_figures(scene.explanation),
        title="Comparing the maps of all layers",
        total=0,
    )
    if figures is None:
        st.container(key="why-waiting").html(theme.CHARTS_SKELETON)
    else:
        _measured(figures, scene, viewer_panel.layer_shown(current, scene.layers))


def _measured(figures: tuple[LayerFigures, ...], scene: Scene, here: str) -> None:
    shown = next(each for each in figures if each.layer == here)
    words, chart = _columns(wide="right")
    with words:
        _heading("What the averaging keeps")
        st.markdown(texts.averaging(figures, scene.explanation.label))
        theme.tiles(texts.tiles(shown))
    with chart:
        st.plotly_chart(charts.averaging(figures, here), key="why-averaging", config=shared_charts.CONFIG)
        theme.table(texts.TABLE, *texts.layer_table(figures, ("grad_cam",)))
    st.caption(texts.DEFINITIONS)
    words, chart = _columns(wide="right")
    with words:
        _heading("Two more maps from the same pass")
        st.markdown(texts.others(figures))
        st.markdown(texts.CAUTION)
    with chart:
        st.plotly_chart(
            charts.agreement(figures, COMPARED, here), key="why-agreement", config=shared_charts.CONFIG
        )
        theme.table(texts.TABLE, *texts.layer_table(figures, COMPARED))


def published() -> None:
    """The authors' own figures for two networks, and what follows."""
    games, source = pointing_games()
    _heading("Not only on this photo")
    with st.container(key="why-game"):
        st.markdown(texts.GAME)
        st.markdown("\n".join(f"- {texts.game(game)}" for game in games))
    for column, game in zip(st.columns(len(games), gap="medium"), games, strict=True):
        network = texts.NETWORKS[game.network]
        with column:
            figure = charts.published(game, f"{network}: hits in the pointing game", POINTING)
            st.plotly_chart(figure, key=f"why-{game.network}", config=shared_charts.CONFIG)
            theme.table(f"All published figures for {network}", *texts.game_table(game))
    st.caption(f"Source: {source}")
    _heading("What follows")
    st.markdown(texts.ADVICE)


def _columns(wide: str = "left") -> list[DeltaGenerator]:
    return st.columns([1.45, 1] if wide == "left" else [1, 1.45], gap="medium")


def _heading(text: str) -> None:
    st.header(text, anchor=False)


opening()
page.show(body)
published()
