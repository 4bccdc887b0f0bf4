import pytest

from saliency_core.models.layouts import Observation, find_layout, no_layout


def observed(
    square: tuple[int, ...], wide: tuple[int, ...] | None = None, **facts: bool
) -> list[Observation]:
    """What a layer returned for two inputs of 224 × 224 and, if it took it, for one of 288 × 352."""
    first = Observation(square, 2, 224, 224, **facts)
    return [first] if wide is None else [first, Observation(wide, 1, 288, 352)]


@pytest.mark.parametrize(
    ("square", "wide"),
    [
        ((2, 64, 112, 112), (1, 64, 144, 176)),
        ((2, 512, 7, 7), (1, 512, 9, 11)),
        ((2, 14, 14, 14), (1, 14, 18, 22)),
        ((2, 96, 8, 8), (1, 96, 10, 12)),  # without padding
        ((2, 16, 112, 56), (1, 16, 144, 88)),  # another stride for the width
        ((2, 1024, 3, 3), (1, 1024, 4, 5)),
        ((2, 768, 14, 14), None),
        ((2, 64, 448, 448), (1, 64, 576, 704)),  # enlarged
    ],
)
def test_maps_grow_with_the_image(square: tuple[int, ...], wide: tuple[int, ...] | None) -> None:
    layout = find_layout(observed(square, wide))
    assert layout is not None
    assert layout.name == "channels_first"


@pytest.mark.parametrize(
    ("square", "wide"),
    [
        ((2, 8, 49, 49), (1, 8, 99, 99)),  # attention between locations
        ((2, 8, 50, 50), (1, 8, 100, 100)),  # with a class token
        ((2, 8, 49, 64), (1, 8, 99, 129)),  # attention of 49 queries to 64 keys
        ((2, 8, 10, 49), (1, 8, 10, 99)),  # attention of ten queries to all locations
        ((128, 3, 49, 49), (99, 3, 49, 49)),  # attention inside windows
        ((2, 3, 49, 49), (1, 3, 49, 49)),  # the same where there is one window
        ((2, 56, 56, 96), (1, 72, 88, 96)),  # channels last
        ((2, 96, 96, 96), (1, 123, 151, 96)),  # channels last, with as many channels as rows
        ((2, 96, 96, 96), None),  # either
        ((128, 7, 7, 96), (99, 7, 7, 96)),  # windows
        ((2, 197, 768), None),  # tokens
        ((2, 1000), (1, 1000)),
        ((2, 64, 56, 56), (1, 64, 88, 72)),  # rows and columns exchanged
        ((2, 64, 112, 56), None),
        ((2, 49, 64, 64), None),  # a grid of attention in MaxViT: no whole stride leads to 64
        ((2, 64, 448, 448), None),  # larger than the image
        ((), ()),
    ],
)
def test_what_does_not_is_no_map_even_if_it_is_square(
    square: tuple[int, ...], wide: tuple[int, ...] | None
) -> None:
    assert find_layout(observed(square, wide)) is None


def test_where_only_squares_are_accepted_an_attention_matrix_is_recognised_by_its_rows() -> None:
    matrix = observed((2, 8, 64, 64), rows_sum_to_one=True)
    assert find_layout(matrix) is None
    assert "(N, 8, 64, 64) is an attention matrix" in no_layout(matrix)


@pytest.mark.parametrize(
    ("square", "wide", "message"),
    [
        ((2, 197, 768), None, r"its output has shape (N, 197, 768); a map needs (N, C, H, W)"),
        (
            (128, 3, 49, 49),
            (99, 3, 49, 49),
            "has shape (128, 3, 49, 49) for an input of 224 × 224 and (99, 3, 49, 49) for 288 × 352",
        ),
        ((2,), None, "shape (N); a map"),
    ],
)
def test_the_reason_names_the_shape(
    square: tuple[int, ...], wide: tuple[int, ...] | None, message: str
) -> None:
    assert message in no_layout(observed(square, wide))
