"""What a web process does whose engine computes elsewhere: it runs where PyTorch is not installed."""

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import saliency_core as sc
from saliency_core.combine import resize
from saliency_core.engine.photo_evaluations import MapChoice, PerturbationRequest
from saliency_core.engine.request import ExplainRequest
from saliency_core.models.weights.misfit import MisfitError
from tests.networks import classifier, seeded

ROOT = Path(__file__).parent.parent
LABELS = ["ant", "bee", "cat", "dog", "eel"]
SOURCES = [*(ROOT / "saliency_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]


def printed(code: str, *arguments: str, tool: tuple[str, ...] = ()) -> str:
    """What the code prints in a process of its own, whose engine would be asked for through Ray."""
    command = [sys.executable, *tool, "-c", code, *arguments]
    environment = os.environ | {"SALIENCY_ENGINE": "ray"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def without_torch(code: str, *arguments: str) -> str:
    """The same where PyTorch and the libraries that need it are absent."""
    return printed(code, *arguments, tool=(str(ROOT / "tools" / "without_torch.py"),))


def test_importing_the_core_imports_nothing_that_is_not_used() -> None:
    code = "import sys, saliency_core; print(sorted(sys.modules.keys() & {'torch', 'numpy', 'PIL'}))"
    assert printed(code) == "[]"


def test_everything_that_a_web_process_imports_can_be_imported_without_pytorch() -> None:
    assert (
        without_torch("from pages.shared.server import preload; preload(); print('imported')") == "imported"
    )


SHOWN = """
import io, json, pickle, sys
import numpy as np
import saliency_core as sc
from saliency_core.viewer import payload

first, second, image = pickle.load(open(sys.argv[1], "rb"))
maps = [first.map("normgrad", layer) for layer in first.layers]
mixed = sc.combine(maps, how="sum", size=(40, 60))
table = sc.compare_classes(first, second)
pictures = [sc.figure(first, kind, other=second, photo=image).to_bytes() for kind in sc.FIGURES]
photo = payload.DisplayPhoto("d" * 64, b"jpeg", 60, 40, (60, 40), "bird.png")
content = payload.content(photo, first, first.subject, first.methods)
sent = payload.payload(content, mode="compare", view={})
print(json.dumps({
    "pictures": all(map(len, pictures)),
    "maps": list(sent.meta["maps"]),
    "mixed": mixed.tolist(),
    "resized": first.resized("grad_cam", first.layers[0]).tolist(),
    "correlations": [cell.correlation for cell in table.cells.values()],
    "mean": sc.mean_sensitivity([table, table])["normgrad", first.layers[0].name].mean,
    "interval": [sc.mean_interval([1.0, 0.0, 1.0]).low, sc.mean_interval([1.0, 0.0, 1.0]).high],
    "cost": [method.cost_text for method in sc.METHODS.values()],
}))
"""


def test_an_answer_from_another_process_is_shown_without_pytorch(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    network = classifier(seeded(dtype=torch.float32), labels=LABELS)
    first, second = sc.explain_classes(network, image, [1, 3])
    (tmp_path / "sent").write_bytes(pickle.dumps((first, second, image)))
    shown = json.loads(without_torch(SHOWN, str(tmp_path / "sent")))
    maps = [first.map("normgrad", layer) for layer in first.layers]
    table = sc.compare_classes(first, second)
    np.testing.assert_array_equal(shown["mixed"], sc.combine(maps, how="sum", size=(40, 60)))
    np.testing.assert_array_equal(shown["resized"], first.resized("grad_cam", first.layers[0]))
    assert shown["pictures"]
    assert shown["maps"] == list(first.methods)
    assert shown["correlations"] == [cell.correlation for cell in table.cells.values()]
    assert shown["cost"] == [method.cost_text for method in sc.METHODS.values()]


def test_what_is_sent_between_processes_is_the_same_after_it() -> None:
    asked = ExplainRequest("photo", "resnet50", 3, variant=sc.MetaStep(0.01), options=(("rise", ()),))
    perturbed = PerturbationRequest(
        ExplainRequest("photo", "resnet50", 3), (MapChoice("normgrad", "layer4"),)
    )
    for request in (asked, perturbed):
        assert pickle.loads(pickle.dumps(request)) == request
    error: MisfitError = pickle.loads(pickle.dumps(MisfitError("no", few=True, reason="why", fitting=("a",))))
    assert (str(error), error.few, error.reason, error.fitting) == ("no", True, "why", ("a",))


def test_the_maps_of_an_explanation_that_was_sent_cannot_be_written_to() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    found = sc.explain(classifier(seeded(dtype=torch.float32)), Image.fromarray(pixels), 1)
    sent: sc.Explanation = pickle.loads(pickle.dumps(found))
    with pytest.raises(ValueError, match="read-only"):
        sent.map("normgrad", sent.layers[0])[0, 0] = 1


@pytest.mark.parametrize(
    "before", ["", "saliency_core.explain.arguments", "saliency_core.combine", "saliency_core.render"]
)
def test_a_public_function_hides_the_module_of_its_name_whatever_is_imported_first(before: str) -> None:
    lines = [
        f"import {before}" if before else "",
        "import saliency_core as sc",
        "import saliency_core.explain, saliency_core.combine",
        "from saliency_core.explain import SINGLE_PASS",
        "from saliency_core import explain",
        "print(explain is sc.explain, callable(sc.explain), callable(sc.combine), type(sc.render).__name__)",
    ]
    assert printed("\n".join(lines)) == "True True True module"


def test_all_public_names_are_listed_and_found() -> None:
    assert set(sc.__all__) <= set(dir(sc))
    assert all(getattr(sc, name) is not None for name in sc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        sc.explian  # noqa: B018


def test_a_deferred_module_is_the_one_that_type_checkers_see() -> None:
    """What mypy checks is imported under the same name as what is imported when it is called."""
    found = 0
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.If) or ast.unparse(node.test) != "TYPE_CHECKING":
                continue
            checked = {
                alias.name: alias.name if isinstance(each, ast.Import) else f"{each.module}.{alias.name}"
                for each in node.body
                if isinstance(each, ast.Import | ast.ImportFrom)
                for alias in each.names
            }
            for line in map(ast.unparse, node.orelse):
                name, _, call = line.partition(" = ")
                assert call == f"deferred('{checked.get(name)}')", f"{file.name}: {line}"
                found += 1
    assert found > 10


@pytest.mark.parametrize("cells", [(7, 7), (14, 14), (1, 5), (224, 224), (112, 56)])
@pytest.mark.parametrize("size", [(224, 224), (448, 300), (14, 14), (1, 1), (5, 300)])
def test_a_resized_map_is_that_of_pytorch_up_to_rounding(
    cells: tuple[int, int], size: tuple[int, int]
) -> None:
    values = np.random.default_rng(0).normal(size=cells).astype(np.float32)
    plane = torch.from_numpy(values)[None, None]
    expected = F.interpolate(plane, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(resize(values, size), expected, atol=2e-5)
