"""Explanations for many sessions at once: requests, tasks, caches, and the engines that answer."""
