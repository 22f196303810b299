"""Where the numbers are: choosing a device and a precision.

But: no sharding over several devices, and no float16, which needs its losses scaled.
"""

import contextlib

import torch
from torch import Tensor


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; for "auto" the first of cuda, mps and cpu that is there.

    Raises: ValueError if this machine has no such device.

    Built in chapter 7.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["cpu"] = True
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there.get(name):
        have = ", ".join(device for device, available in there.items() if available)
        raise ValueError(f"device {name!r} isn't there; this machine has {have}")
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context for a forward pass: matrix products in bfloat16, or everything in float32.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 on CUDA hardware that has it. Few CPUs
            do, and small models gain nothing on those.
        device: where the model is.

    Source: Micikevicius et al. 2018, "Mixed Precision Training"; Kalamkar et al. 2019 for bfloat16.
    Built in chapter 7.
    """
    if precision == "auto":
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if has_it else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def move(batch: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """A batch on another device.

    Built in chapter 7.
    """
    return tuple(t.to(device) for t in batch)
