"""The logic engine: judges a machine's samples, and warns, holds the feed or stops, as far as its mode allows."""

from nodes.impact_cortex.node import ImpactCortex as ImpactCortex
