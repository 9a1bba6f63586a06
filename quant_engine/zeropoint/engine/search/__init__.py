"""The search over plans for a result that is good enough."""

from zeropoint.engine.search.changes import Changes, RangeChoice
