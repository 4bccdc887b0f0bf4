import pytest
import torch
from timm.models.hiera import Unroll
from torch import Tensor

from saliency_core.errors import LayerError
from saliency_core.models.layouts import Layout, Observation, find_layouts, no_layout


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
    (layout,) = find_layouts(observed(square, wide))
    assert (layout.name, layout.grid, layout.certain) == ("channels_first", square[2:], True)


@pytest.mark.parametrize(
    ("square", "wide"),
    [
        ((2, 8, 49, 49), (1, 8, 99, 99)),  # attention between locations
        ((2, 8, 49, 64), (1, 8, 99, 129)),  # attention of 49 queries to 64 keys
        ((2, 8, 10, 49), (1, 8, 10, 99)),  # attention of ten queries to all locations
        ((128, 3, 49, 49), (99, 3, 49, 49)),  # attention inside windows
        ((2, 3, 49, 49), (1, 3, 49, 49)),  # the same where there is one window
        ((2, 1000), (1, 1000)),
        ((2, 64, 56, 56), (1, 64, 88, 72)),  # rows and columns exchanged
        ((2, 64, 112, 56), None),
        ((2, 64, 448, 448), None),  # larger than the image
        ((), ()),
    ],
)
def test_what_does_not_is_no_map_even_if_it_is_square(
    square: tuple[int, ...], wide: tuple[int, ...] | None
) -> None:
    assert find_layouts(observed(square, wide)) == ()


def names(square: tuple[int, ...], wide: tuple[int, ...] | None) -> list[tuple[str, int, bool]]:
    """Kind, number of extra tokens and certainty of what shapes allow."""
    found = find_layouts(observed(square, wide), [(16, 8), (56, 56)])
    return list(dict.fromkeys((each.name, each.extra, each.certain) for each in found))


@pytest.mark.parametrize(
    ("square", "wide", "allowed"),
    [
        ((2, 56, 56, 96), (1, 72, 88, 96), [("channels_last", 0, True)]),
        ((2, 96, 96, 96), (1, 123, 151, 96), [("channels_last", 0, True)]),
        ((2, 96, 123, 151), None, []),
        (
            (2, 28, 28, 28),
            None,
            [("channels_first", 0, False), ("channels_last", 0, False)],
        ),
        ((2, 49, 64, 64), None, [("windows_apart", 0, False)]),
        ((2, 4, 196, 48), None, []),  # four heads of attention
        ((2, 196, 196, 4), None, []),  # attention between all locations
        ((2, 197, 768), None, [("tokens", 1, False)]),
        ((2, 201, 768), (1, 401, 768), [("tokens", 5, False)]),
        ((2, 198, 768), (1, 399, 768), []),  # one more with another extra token
        ((2, 768, 196), None, [("tokens_last", 0, False)]),
        (  # 16 × 8 is another layer's grid
            (2, 128, 769),
            None,
            [("tokens", 0, False), ("tokens", 7, False), ("tokens_sorted", 0, False)],
        ),
        ((128, 7, 7, 96), (99, 7, 7, 96), [("windows", 0, False)]),
        ((128, 49, 96), None, [("windows_of_tokens", 0, False)]),
        ((2, 64, 49, 96), None, [("windows_apart", 0, False)]),
    ],
)
def test_shapes_allow_tokens_windows_and_channels_at_the_end(
    square: tuple[int, ...], wide: tuple[int, ...] | None, allowed: list[tuple[str, int, bool]]
) -> None:
    assert names(square, wide) == allowed


def numbered(*shape: int) -> Tensor:
    """Maps (N, C, H, W) of which every entry is its own number."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


@pytest.mark.parametrize(("height", "width", "grid"), [(64, 64, (4, 4)), (64, 96, (4, 6)), (48, 112, (3, 7))])
@pytest.mark.parametrize("at_end", [False, True])
def test_tokens_are_folded_for_any_size_of_the_input(
    height: int, width: int, grid: tuple[int, int], at_end: bool
) -> None:
    maps = numbered(2, 5, *grid)
    extra = -torch.ones(2, 3, 5, dtype=maps.dtype)
    parts = [extra, maps.flatten(2).transpose(1, 2)]
    tokens = torch.cat(parts[::-1] if at_end else parts, dim=1)
    layout = Layout("tokens", ("N", "T", "C"), (4, 4), (64, 64), False, 3, at_end)
    assert torch.equal(layout.to_maps(tokens, (2, 3, height, width)), maps)
    assert torch.equal(layout.extra_tokens(tokens), extra)
    with pytest.raises(LayerError, match="no grid of that shape with 3 more"):
        layout.to_maps(tokens[:, :-1], (2, 3, height, width))


@pytest.mark.parametrize("shift", [(0, 0), (1, 2)])
@pytest.mark.parametrize("dilated", [False, True])
def test_windows_are_put_together_as_they_were_taken_apart(shift: tuple[int, int], dilated: bool) -> None:
    maps = numbered(2, 5, 6, 8)
    moved = maps.roll((-shift[0], -shift[1]), dims=(2, 3))
    windows = [
        moved[image, :, row::2, column::2] if dilated else moved[image, :, row * 3 :, column * 4 :][:, :3, :4]
        for image in range(2)
        for row in range(2)
        for column in range(2)
    ]
    output = torch.stack(windows).permute(0, 2, 3, 1)
    for name, axes, shape in (
        ("windows", ("N·M", "H", "W", "C"), (8, 3, 4, 5)),
        ("windows_of_tokens", ("N·M", "T", "C"), (8, 12, 5)),
        ("windows_apart", ("N", "M", "T", "C"), (2, 4, 12, 5)),
    ):
        layout = Layout(name, axes, (6, 8), (48, 64), False, 0, False, (3, 4), dilated, shift)
        assert torch.equal(layout.to_maps(output.reshape(shape), (2, 3, 48, 64)), maps)
    with pytest.raises(LayerError, match="4 windows of 12 locations per image .* do not cover it"):
        layout.to_maps(output.reshape(shape), (2, 3, 96, 64))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_tokens_sorted_for_pooling_are_put_into_rows_again(levels: int) -> None:
    maps = numbered(2, 5, 8, 16)
    sort = Unroll((8, 16), (1, 1), [(2, 2)] * levels)
    layout = Layout("tokens_sorted", ("N", "T", "C"), (8, 16), (32, 64), False, levels=levels)
    assert torch.equal(layout.to_maps(sort(maps.flatten(2).transpose(1, 2)), (2, 3, 32, 64)), maps)


def test_where_only_squares_are_accepted_an_attention_matrix_is_recognised_by_its_rows() -> None:
    matrix = observed((2, 8, 64, 64), rows_sum_to_one=True)
    assert find_layouts(matrix) == ()
    assert "(N, 8, 64, 64) is an attention matrix" in no_layout(matrix)


@pytest.mark.parametrize(
    ("square", "wide", "message"),
    [
        (
            (2, 1000),
            None,
            r"its output has shape (N, 1000); a map needs (N, C, H, W), (N, H, W, C) or (N, T, C)",
        ),
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
