"""The engine on Ray Serve: replicas that hold networks, and the client that asks them.

:class:`saliency_core.engine.ray.client.RayEngine` answers the same protocol as the engine of one process. It
imports no PyTorch; only the replicas do.
"""
