"""What can keep the demo from running."""

from zeropoint.client.errors import ZeropointError


class DemoError(ZeropointError):
    """MODELS_UNAVAILABLE or DEPENDENCY_MISSING: something that the demo needs is not there."""
