import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from types import TracebackType

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor, nn

import saliency_core as sc
from saliency_core.methods.passes import SEED
from saliency_core.progress import NO_LOCK, Cancelled, Lock, ProgressCallback, no_progress
from tests.networks import SIDE, InPlaceNet, batch, classifier, seeded

TARGET = 3


def compute(
    name: str,
    clf: sc.Classifier,
    x: Tensor,
    target: int = TARGET,
    *,
    progress: ProgressCallback = no_progress,
    lock: Lock = NO_LOCK,
    **options: float,
) -> Tensor:
    """The map of a many-pass method with some options."""
    kind = sc.METHODS[name].kind
    assert isinstance(kind, sc.MultiPass)
    return kind.run(clf, x, target, options, progress=progress, lock=lock)


integrated_gradients = partial(compute, "integrated_gradients")
smoothgrad = partial(compute, "smoothgrad")
occlusion = partial(compute, "occlusion")
rise = partial(compute, "rise")
FEW_PASSES = {
    "integrated_gradients": partial(integrated_gradients, steps=26),
    "smoothgrad": partial(smoothgrad, samples=26),
    "occlusion": partial(occlusion, window=1 / 3),
    "rise": partial(rise, masks=42),
}
"""Every many-pass method with passes enough for several batches, the last of them not full."""
MULTI_PASS = [name for name, method in sc.METHODS.items() if isinstance(method.kind, sc.MultiPass)]
every_method = pytest.mark.parametrize("name", MULTI_PASS)


def test_every_many_pass_method_is_tested_here() -> None:
    assert list(FEW_PASSES) == MULTI_PASS


class Linear(nn.Module):
    """Scores that are linear in the image, but for their constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4 * SIDE * SIDE, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).flatten(1))


class Touchy(InPlaceNet):
    """Works in place on its own input."""

    def forward(self, images: Tensor) -> Tensor:
        images *= 2
        return super().forward(images)


class Root(InPlaceNet):
    """Finite scores with an infinite slope where the image is 0."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.abs().sqrt())


class Bright(nn.Module):
    """Class 1 is a photo with something bright in it, class 0 one without."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, images: Tensor) -> Tensor:
        brightest = self.pool(images).mean(dim=1).amax(dim=(1, 2))
        return torch.stack([1 - brightest, brightest], dim=1) * 4


def gradient(clf: sc.Classifier, x: Tensor) -> Tensor:
    """The gradient of the logit at one image, (3, H, W)."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(clf.module(x)[0, TARGET], x)[0][0]


def logit(clf: sc.Classifier, x: Tensor) -> float:
    with torch.no_grad():
        return float(clf.module(x)[0, TARGET])


def close(found: Tensor, expected: Tensor, relative: float = 1e-6) -> None:
    torch.testing.assert_close(
        found.double(), expected.double(), rtol=0, atol=relative * float(expected.abs().max())
    )


@pytest.mark.filterwarnings("ignore:only one layer")
def test_integrated_gradients_of_a_linear_network_are_weight_times_input() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = Linear().double()
    x = batch()
    weights = network.head.weight[TARGET].reshape(4, SIDE, SIDE)
    slope = torch.einsum("ohw,oc->chw", weights, network.conv.weight[:, :, 0, 0]).detach()
    close(integrated_gradients(classifier(network), x, TARGET), (slope * x[0]).sum(dim=0))


def test_integrated_gradients_add_up_to_what_the_photo_gains_over_the_mean_colour() -> None:
    clf, x = classifier(), 4 * batch(seed=2)
    gain = logit(clf, x) - logit(clf, torch.zeros_like(x))
    coarse, fine = (integrated_gradients(clf, x, TARGET, steps=steps) for steps in (50, 200))
    assert abs(gain) > 0.05 * float(fine.abs().sum())  # more than what the sampling may miss
    assert float(coarse.sum()) == pytest.approx(gain, abs=1e-3 * float(coarse.abs().sum()))
    assert float(fine.sum()) == pytest.approx(gain, abs=3e-4 * float(fine.abs().sum()))


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    clf, x = classifier(), batch()
    expected = gradient(clf, x).abs().amax(dim=0)
    close(smoothgrad(clf, x, TARGET, noise=0.0), expected)
    grey = torch.full_like(x, 0.3)  # no range, hence no noise
    close(smoothgrad(clf, grey, TARGET), gradient(clf, grey).abs().amax(dim=0))


def test_smoothgrad_is_the_mean_over_noisy_copies_one_by_one() -> None:
    clf, x = classifier(), batch()
    generator = torch.Generator().manual_seed(SEED)
    deviation = 0.15 * float(x.max() - x.min())
    total = torch.zeros(3, SIDE, SIDE, dtype=torch.float64)
    for _ in range(7):
        total += gradient(clf, x + deviation * torch.randn(3, SIDE, SIDE, generator=generator).double())
    close(smoothgrad(clf, x, TARGET, samples=7), (total / 7).abs().amax(dim=0))


def test_smoothgrad_equals_captums_noise_tunnel_with_the_same_random_numbers() -> None:
    clf, x = classifier(seeded(dtype=torch.float32)), batch(dtype=torch.float32)
    tunnel = NoiseTunnel(Saliency(clf.module))
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        expected = tunnel.attribute(
            x.clone().requires_grad_(),
            nt_samples=9,
            nt_samples_batch_size=1,
            stdevs=0.15 * float(x.max() - x.min()),
            target=TARGET,
            abs=False,
        )
    close(smoothgrad(clf, x, TARGET, samples=9), expected[0].abs().amax(dim=0), 1e-5)


def test_occlusion_is_the_mean_fall_over_the_windows_that_cover_a_location() -> None:
    clf = classifier()
    x = torch.randn(1, 3, 25, 30, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    total, count = torch.zeros(2, 25, 30, dtype=torch.float64)
    for top in range(0, 24, 2):  # windows of 4 by 4, the lowest cut off
        for left in range(0, 27, 2):
            patch = (slice(top, top + 4), slice(left, left + 4))
            covered = x.clone()
            covered[:, :, *patch] = 0
            total[patch] += logit(clf, x) - logit(clf, covered)
            count[patch] += 1
    assert len(np.unique(count)) > 1  # the corners are covered less often
    close(occlusion(clf, x, TARGET), total / count)


def test_rise_is_the_sum_over_masks_one_by_one() -> None:
    clf = classifier()
    x = torch.randn(1, 3, 24, 31, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    count, cells, height, width = 11, 4, 6, 8  # cells of 6 × 8 pixels
    generator = torch.Generator().manual_seed(SEED)
    grids = torch.rand(count, 1, cells, cells, generator=generator) < 0.3
    tops = torch.randint(height, (count,), generator=generator)
    lefts = torch.randint(width, (count,), generator=generator)

    def corners(pixel: int, cell: int) -> list[tuple[int, float]]:
        """The two cells between whose centres a pixel lies, with weights; the grid is one cell too wide."""
        at = min(max((pixel + 0.5) * cells / ((cells + 1) * cell) - 0.5, 0), cells - 1)
        lower = min(int(at), cells - 2)
        return [(lower, lower + 1 - at), (lower + 1, at - lower)]

    total = torch.zeros(24, 31, dtype=torch.float64)
    for grid, top, left in zip(grids[:, 0].double(), tops.tolist(), lefts.tolist(), strict=True):
        mask = torch.zeros(24, 31, dtype=torch.float64)
        for row in range(24):
            for column in range(31):
                for a, along in corners(row + top, height):
                    for b, across in corners(column + left, width):
                        mask[row, column] += along * across * grid[a, b]
        with torch.no_grad():
            total += clf.module(x * mask).softmax(dim=1)[0, TARGET] * mask
    close(rise(clf, x, TARGET, masks=count, cells=cells, keep=0.3), total / (count * 0.3))


@pytest.mark.filterwarnings("ignore:only one layer")
@pytest.mark.parametrize("name", ["occlusion", "rise"])
def test_a_planted_bright_patch_is_found(name: str) -> None:
    x = torch.full((1, 3, SIDE, SIDE), 0.1)
    x[:, :, 4:8, 12:16] = 1.0
    found = compute(name, classifier(Bright()), x, 1)
    row, column = divmod(int(found.argmax()), SIDE)
    assert 4 <= row < 8
    assert 12 <= column < 16


@every_method
def test_a_map_is_float32_at_the_input_and_the_same_every_time(name: str) -> None:
    clf, x = classifier(), batch()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        first = FEW_PASSES[name](clf, x, TARGET)
        torch.manual_seed(12)
        again = FEW_PASSES[name](clf, x, TARGET)
    assert (first.shape, first.dtype, first.requires_grad) == ((SIDE, SIDE), torch.float32, False)
    assert torch.equal(first, again)
    assert first.max() > first.min()


@every_method
def test_the_global_random_state_does_not_change(name: str) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    FEW_PASSES[name](classifier(), batch(), TARGET)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@every_method
@pytest.mark.parametrize("stop", [False, True], ids=["finished", "stopped"])
def test_network_and_photo_are_left_as_they_were(name: str, stop: bool) -> None:
    clf, x = classifier(Touchy().double()), batch()
    clf.module.train(False)
    state = {key: value.clone() for key, value in clf.module.state_dict().items()}
    photo, hooks = x.clone(), hooks_of(clf.module)

    def step(done: int, total: int) -> None:
        if stop:
            raise Cancelled

    with pytest.raises(Cancelled) if stop else nullcontext():
        FEW_PASSES[name](clf, x, TARGET, progress=step)
    assert all(torch.equal(value, state[key]) for key, value in clf.module.state_dict().items())
    assert all(one.grad is None and one.requires_grad for one in clf.module.parameters())
    assert not any(module.training for module in clf.module.modules())
    assert hooks_of(clf.module) == hooks
    assert torch.equal(x, photo)
    assert not x.requires_grad


def hooks_of(network: nn.Module) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(module, kind)) for module in network.modules() for kind in kinds]


@every_method
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_frozen_network_and_the_callers_mode_make_no_difference(name: str, mode: type) -> None:
    frozen = seeded().requires_grad_(False)
    expected = FEW_PASSES[name](classifier(), batch(), TARGET)
    with mode():
        found = FEW_PASSES[name](classifier(frozen), batch(), TARGET)
    assert torch.equal(found, expected)


@every_method
def test_progress_counts_the_passes_and_reaches_the_total(name: str) -> None:
    clf = classifier()
    passes: list[int] = []
    clf.module.head.register_forward_hook(lambda _module, _inputs, scores: passes.append(len(scores)))
    steps: list[tuple[int, int]] = []
    FEW_PASSES[name](clf, batch(), TARGET, progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == np.cumsum(passes).tolist()
    assert {total for _, total in steps} == {sum(passes)}
    assert max(passes) <= 8


@every_method
def test_the_passes_on_a_usual_input_are_as_many_as_announced(name: str) -> None:
    totals: list[int] = []

    def step(done: int, total: int) -> None:
        totals.append(total)
        raise Cancelled

    with pytest.raises(Cancelled):
        compute(name, classifier(), torch.zeros(1, 3, 224, 224), progress=step)
    assert totals == [sc.METHODS[name].passes]


@every_method
def test_stopping_ends_it_after_the_batch_under_way(name: str) -> None:
    clf = classifier()
    batches: list[int] = []
    clf.module.head.register_forward_hook(lambda *_: batches.append(1))

    def step(done: int, total: int) -> None:
        if len(batches) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        FEW_PASSES[name](clf, batch(), TARGET, progress=step)
    assert len(batches) == 3


class Watched(InPlaceNet):
    """Notes whether the lock is held whenever a forward or a backward pass comes by."""

    def __init__(self, guard: "WatchedLock") -> None:
        super().__init__()
        self.guard = guard

    def forward(self, images: Tensor) -> Tensor:
        self.guard.seen.append(("forward", self.guard.held))
        if images.requires_grad:
            images.register_hook(lambda _: self.guard.seen.append(("backward", self.guard.held)))
        return super().forward(images)


class WatchedLock:
    """A lock that knows whether it is held."""

    def __init__(self) -> None:
        self.held = False
        self.entered = 0
        self.seen: list[tuple[str, bool]] = []

    def __deepcopy__(self, memo: object) -> "WatchedLock":
        return self

    def __enter__(self) -> None:
        assert not self.held
        self.held = True
        self.entered += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.held = False


@every_method
def test_each_batch_runs_inside_the_lock_and_reports_outside(name: str) -> None:
    guard = WatchedLock()
    network = Watched(guard).double()
    clf = classifier(network)
    guard.seen.clear()  # looking the network over is not part of it
    reported: list[bool] = []
    FEW_PASSES[name](
        clf,
        batch(),
        TARGET,
        lock=guard,
        progress=lambda done, total: reported.append(guard.held),
    )
    assert all(held for _, held in guard.seen)
    assert not any(reported)
    assert not guard.held
    assert guard.entered == len(reported) == [kind for kind, _ in guard.seen].count("forward") >= 5
    gradients = name in ("integrated_gradients", "smoothgrad")
    assert [kind for kind, _ in guard.seen].count("backward") == (guard.entered if gradients else 0)


@every_method
def test_many_pass_methods_and_explanations_in_many_threads_do_not_mix(name: str) -> None:
    clf, x = classifier(), batch()
    plain = sc.explain(clf, x, TARGET, methods=["normgrad"])
    alone = FEW_PASSES[name](clf, x, TARGET)
    start = threading.Barrier(4)

    def explain_often() -> list[sc.Explanation]:
        start.wait()
        return [sc.explain(clf, x, TARGET, methods=["normgrad"]) for _ in range(20)]

    def many_passes() -> Tensor:
        start.wait()
        return FEW_PASSES[name](clf, x, TARGET)

    with ThreadPoolExecutor(4) as pool:
        single = [pool.submit(explain_often) for _ in range(2)]
        slow = [pool.submit(many_passes) for _ in range(2)]
    for explanation in (one for future in single for one in future.result()):
        np.testing.assert_array_equal(explanation.map("normgrad", "act"), plain.map("normgrad", "act"))
    assert all(torch.equal(future.result(), alone) for future in slow)


@every_method
def test_scores_that_are_not_finite_are_refused(name: str) -> None:
    network = seeded()
    clf = classifier(network)
    network.head.weight.data[0, 0] = float("nan")
    with pytest.raises(sc.NonFiniteError, match="class scores contain NaN or infinity"):
        FEW_PASSES[name](clf, batch(), TARGET)


def test_gradients_that_are_not_finite_are_refused() -> None:
    clf, black = classifier(Root().double()), torch.zeros(1, 3, SIDE, SIDE)
    for method in (integrated_gradients, smoothgrad):
        with pytest.raises(sc.NonFiniteError, match="gradients contain NaN or infinity at the input"):
            method(clf, black, TARGET)


@every_method
def test_one_image_and_an_existing_class_are_required(name: str) -> None:
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 24, 24\); expected one prepared image"):
        FEW_PASSES[name](classifier(), batch(2), TARGET)
    with pytest.raises(sc.TargetError, match="expected an index from 0 to 4"):
        FEW_PASSES[name](classifier(), batch(), 5)


@every_method
def test_a_default_device_of_the_caller_makes_no_difference(name: str) -> None:
    expected = FEW_PASSES[name](classifier(), batch())
    clf, x = classifier(), batch()
    with torch.device("meta"):
        found = FEW_PASSES[name](clf, x)
    assert torch.equal(found, expected)


@every_method
def test_a_network_in_half_precision_is_summed_up_in_float32(name: str) -> None:
    """So that the map is that of the same network in float32, but for the rounding of each pass."""
    precise = seeded(dtype=torch.float32)
    for parameter in precise.parameters():
        parameter.data = parameter.data.bfloat16().float()
    x = batch(dtype=torch.float32).bfloat16().float()
    found = FEW_PASSES[name](classifier(copy.deepcopy(precise).bfloat16()), x)
    expected = FEW_PASSES[name](classifier(precise), x)
    assert found.dtype == torch.float32
    if name == "rise":  # a sum of probabilities, each to three digits
        close(found, expected, 0.01)
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.95


def test_an_option_changes_the_map_and_the_passes() -> None:
    clf, x = classifier(), batch()
    totals = []
    found = sc.explain(
        clf,
        x,
        TARGET,
        methods=["rise"],
        options={"rise": {"masks": 10}},
        progress=lambda *n: totals.append(n),
    )
    assert totals[-1] == (10, 10)
    close(torch.from_numpy(found.map("rise", "input").copy()), rise(clf, x, masks=10))


def test_several_methods_and_images_share_one_count_of_passes() -> None:
    steps: list[tuple[int, int]] = []
    options = {"rise": {"masks": 10}, "smoothgrad": {"samples": 6}}
    sc.explain_many(
        classifier(),
        batch(2),
        TARGET,
        methods=["rise", "smoothgrad"],
        options=options,
        progress=lambda *step: steps.append(step),
    )
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert {total for _, total in steps} == {2 * (10 + 6)}
    assert steps[-1] == (32, 32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rise": {"mask": 5}}, sc.UnknownNameError, "unknown option 'mask'; did you mean 'masks'"),
        ({"rise": {"masks": 0}}, sc.ArgumentError, "'masks' is 0; expected a whole number from 1 to 20000"),
        ({"rise": {"masks": 50_000}}, sc.ArgumentError, "'masks' is 50000; expected"),
        ({"rise": {"masks": 2.5}}, sc.ArgumentTypeError, "'masks' is 2.5; expected a whole number"),
        ({"rise": {"masks": "9"}}, sc.ArgumentTypeError, "'masks' is '9'; expected a whole number"),
        ({"rise": {"masks": True}}, sc.ArgumentTypeError, "'masks' is True; expected a whole number"),
        ({"rise": {"keep": float("nan")}}, sc.ArgumentError, "'keep' is nan; expected a number from 0.05"),
        ({"rise": 5}, sc.ArgumentTypeError, "the options of RISE are 5; expected {option: value}"),
        ({"occlusion": {}}, sc.ArgumentError, "Occlusion, which is not among the methods asked for"),
        ({"normgrad": {"masks": 5}}, sc.ArgumentError, "NormGrad takes no options; those that do: .*rise"),
        ({"rice": {}}, sc.UnknownNameError, "unknown method 'rice'; did you mean 'rise'"),
        ([("rise", 5)], sc.ArgumentTypeError, "expected {method: {option: value}}"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_the_choices(
    options: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sc.explain(classifier(), batch(), 0, methods=["rise", "normgrad"], options=options)
