"""Memory asked for with hints is ordinary memory."""

import gc

import pytest
import torch

from saliency_core.backprop.memory import large_empty


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_large_empty_tensor_is_like_its_model_and_holds_what_is_written(dtype: torch.dtype) -> None:
    model = torch.arange(3000 * 700, dtype=torch.float32).reshape(3000, 700).to(dtype)
    ours = large_empty(model)
    assert (ours.shape, ours.dtype, ours.stride()) == (model.shape, model.dtype, model.stride())
    ours.copy_(model)
    other = large_empty(model).zero_()
    gc.collect()
    assert torch.equal(ours, model)
    assert not other.any()
