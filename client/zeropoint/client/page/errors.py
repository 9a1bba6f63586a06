"""What can keep a page from being made."""

from zeropoint.client.errors import ZeropointError


class DependencyError(ZeropointError, ImportError):
    """DEPENDENCY_MISSING: a package is not installed that only the page needs."""
