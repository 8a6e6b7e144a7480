"""Prometheus metrics of a wsext server."""

from wsext_metrics.plugin import Metrics, MetricsOptions

__all__ = ["Metrics", "MetricsOptions"]
