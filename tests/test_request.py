import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.engine.request import ExplainRequest, ModelInfo, frozen_options, image_digest
from saliency_core.errors import ArgumentTypeError


def test_equal_requests_are_one_key() -> None:
    def request(**changes: object) -> ExplainRequest:
        fields = {"photo": "abc", "model": "resnet18", "target": 3, "variant": sc.MetaStep(0.1)}
        return ExplainRequest(**fields | changes)

    options = frozen_options({"rise": {"masks": 5}})
    others = [
        request(),
        request(photo="abd"),
        request(model="resnet50"),
        request(target=None),
        request(fit="pad"),
        request(methods=("normgrad",)),
        request(layers=("layer1",)),
        request(variant=sc.MetaStep(0.1, ascend=True)),
        request(options=options),
    ]
    assert len(set(others)) == 9
    assert request() == request()
    assert hash(request()) == hash(request())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photo": None}, "photo is None; expected a digest"),
        ({"model": 5}, "model is 5; expected a model's name"),
        ({"target": "cat"}, "target is 'cat'; expected a class index or None"),
        ({"target": True}, "target is True"),
        ({"target": 1.0}, "target is 1.0"),
        ({"fit": None}, "fit is None; expected the name of a fit"),
        ({"methods": ["normgrad"]}, "methods is ['normgrad']; expected a tuple of names or None"),
        ({"methods": "normgrad"}, "methods is 'normgrad'"),
        ({"layers": (1,)}, "layers is (1,); expected a tuple of names or None"),
        ({"variant": 0.1}, "variant is 0.1; expected a MetaStep or None"),
        ({"options": {"rise": {"masks": 5}}}, "options is {'rise': {'masks': 5}}; expected"),
        ({"options": (("rise", (("masks", [5]),)),)}, "options is"),
        ({"options": (("rise", {"masks": 5}),)}, "options is"),
    ],
)
def test_a_request_of_wrong_types_is_refused_with_what_was_expected(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentTypeError) as raised:
        ExplainRequest(**{"photo": "abc", "model": "resnet18"} | change)
    assert message in str(raised.value)


def test_options_are_frozen_in_one_order() -> None:
    one = frozen_options({"rise": {"masks": 5, "cells": 7}, "occlusion": {"patch": 3}})
    other = frozen_options({"occlusion": {"patch": 3}, "rise": {"cells": 7, "masks": 5}})
    assert one == other == (("occlusion", (("patch", 3),)), ("rise", (("cells", 7), ("masks", 5))))
    assert frozen_options(None) == frozen_options({}) == ()
    for wrong in (5, {"rise": 5}, [("rise", {})]):
        with pytest.raises(ArgumentTypeError, match="expected {method: {option: number}}"):
            frozen_options(wrong)


def test_a_digest_is_of_what_the_network_sees() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert image_digest(image) == image_digest(image.copy())
    assert image_digest(image) == image_digest(image.convert("RGBA"))
    assert len(image_digest(image)) == 64
    changed = image.copy()
    changed.putpixel((3, 3), (1, 2, 3))
    assert image_digest(changed) != image_digest(image)
    turned = Image.frombytes("RGB", (4, 6), image.tobytes())  # the same bytes in another shape
    assert image_digest(turned) != image_digest(image)


def test_palette_images_with_other_colours_have_other_digests() -> None:
    def palette_image(colours: list[int]) -> Image.Image:
        image = Image.new("P", (2, 1))
        image.putpalette(colours)
        image.putpixel((1, 0), 1)
        return image

    red, blue = palette_image([0, 0, 0, 255, 0, 0]), palette_image([0, 0, 0, 0, 0, 255])
    assert red.tobytes() == blue.tobytes()
    assert image_digest(red) != image_digest(blue)
    assert image_digest(red) == image_digest(red.convert("RGB"))


def test_what_is_no_image_has_no_digest() -> None:
    with pytest.raises(ArgumentTypeError, match="image is a str; expected a PIL image"):
        image_digest("cat.jpg")


def test_what_an_engine_says_of_a_model_cannot_be_changed() -> None:
    reasons = {"excitation": "no reason"}
    info = ModelInfo("tiny", "Tiny", ("a",), (), (), {}, reasons)
    reasons["normgrad"] = "another"
    assert dict(info.unavailable) == {"excitation": "no reason"}
    with pytest.raises(TypeError):
        info.unavailable["normgrad"] = "another"
