"""How many replicas there are, and what each of them computes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency_core.errors import ArgumentError

MAX_THREADS = 4
"""More threads make a pass on one photo hardly faster; more replicas answer more sessions."""

ONGOING_ON_GPU = 32
"""So many that full batches can be made of them."""


@dataclass(frozen=True)
class Scale:
    """The replicas of a deployment.

    Attributes:
        min_replicas, max_replicas: as many as the load asks for, within these bounds.
        device: ``"cpu"``, or ``"cuda"``: a GPU for each.
        threads: of PyTorch, in each.
        cpus: what each takes of the cluster's CPUs.
        ongoing: requests that each has at once; one more goes to another, which may have to load the network.
        queued: requests of one web process that may wait beside those; one more is refused.
    """

    min_replicas: int
    max_replicas: int
    device: str
    threads: int
    cpus: float
    ongoing: int = 8
    queued: int = 256

    @property
    def gpus(self) -> int:
        """GPUs that each replica takes."""
        return int(self.device == "cuda")

    @classmethod
    def fitting(cls, ray: Any, replicas: tuple[int, int] | None = None, device: str = "auto") -> Scale:
        """A scale for the cluster that this process is connected to.

        Args:
            ray: the module.
            replicas: the fewest and the most; from one to what the cluster has room for if None.
            device: ``"auto"`` takes GPUs if the cluster has any.

        Raises:
            ArgumentError: bounds that cannot be, or a device that the cluster does not have.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise ArgumentError(f"the device is {device!r}; expected auto, cpu or cuda")
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = [int(each.get("CPU", 0)) for each in machines]
        gpus = 0 if device == "cpu" else sum(int(each.get("GPU", 0)) for each in machines)
        if device == "cuda" and not gpus:
            raise ArgumentError(
                "the device is 'cuda', and no machine of the cluster has a GPU; take cpu or auto"
            )
        if not sum(cpus):
            raise ArgumentError("no machine of the cluster offers a CPU; start one with `ray start`")
        wide = min(MAX_THREADS, max(cpus))
        least, most = replicas or (1, gpus or max(1, sum(each // wide for each in cpus)))
        if not 1 <= least <= most:
            raise ArgumentError(
                f"the replicas are from {least} to {most}; expected 1 or more, the fewest first"
            )
        threads = max(1, min(wide, sum(cpus) // most))
        return cls(
            least,
            most,
            device="cuda" if gpus else "cpu",
            threads=threads,
            cpus=min(threads, sum(cpus) / most),  # more replicas than CPUs share them
            ongoing=ONGOING_ON_GPU if gpus else cls.ongoing,
        )
