"""One model, batches as they come, one result."""

from zeropoint.engine.jobs.in_order import InOrder
from zeropoint.engine.jobs.job import Job
from zeropoint.engine.jobs.opening import inspect_model, open_job, warm
from zeropoint.engine.jobs.verdict import Judgement, judge
from zeropoint.engine.jobs.versions import versions
