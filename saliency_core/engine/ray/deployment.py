"""The deployment on Ray Serve: found on the cluster, or started there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from saliency_core.engine.ray.answers import NAME, NAMESPACE
from saliency_core.engine.ray.replica import Replica
from saliency_core.engine.ray.scale import Scale
from saliency_core.errors import UnavailableError, first_line

if TYPE_CHECKING:
    from saliency_core.models.catalogue.spec import ModelSpec

APP = "normgrad-studio"
CROWDED = 4
"""There are more replicas when each has more than one part in so many of the requests that it may have."""
UPSCALE_SECONDS = 5
DOWNSCALE_SECONDS = 300
LOOK_BACK_SECONDS = 15
HEALTH_SECONDS, HEALTH_TIMEOUT_SECONDS = 5, 30
SHUTDOWN_SECONDS = 10
QUIET = {"log_level": "WARNING", "enable_access_log": False}


def handle(ray: Any) -> Any | None:
    """The handle of the deployment that runs on the cluster, or None."""
    try:
        return ray.serve.get_app_handle(APP)
    except ray.serve.exceptions.RayServeException:
        return None


def deploy(ray: Any, scale: Scale, models: Mapping[str, ModelSpec] | None = None) -> Any:
    """Start the deployment on the cluster, or change its scale; its handle, once a replica is there.

    Args:
        ray: the module, connected to the cluster.
        scale: how many replicas there are, and what they compute with.
        models: the models offered, the catalogue if None.

    Raises:
        UnavailableError: no replica can be started.
    """
    serve = ray.serve
    serve.start(proxy_location="Disabled", logging_config=QUIET)  # nothing listens for HTTP
    deployment = serve.deployment(
        Replica,
        name="engine",
        ray_actor_options={"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        max_ongoing_requests=scale.ongoing,
        max_queued_requests=scale.queued,
        autoscaling_config={
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": max(1, scale.ongoing / CROWDED),
            "upscale_delay_s": UPSCALE_SECONDS,
            "downscale_delay_s": DOWNSCALE_SECONDS,
            "look_back_period_s": LOOK_BACK_SECONDS,
        },
        health_check_period_s=HEALTH_SECONDS,
        health_check_timeout_s=HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
        logging_config=QUIET,
    )
    try:
        return serve.run(deployment.bind(scale, models), name=APP, route_prefix=None)
    except (RuntimeError, serve.exceptions.RayServeException, ray.exceptions.RayError) as error:
        raise UnavailableError(f"the engine could not be started on Ray: {first_line(error)}") from error


def remove(ray: Any) -> None:
    """End the deployment and all its replicas, and forget the answers that they shared."""
    ray.serve.delete(APP)
    with contextlib.suppress(ValueError):  # there is none
        ray.kill(ray.get_actor(NAME, NAMESPACE))
