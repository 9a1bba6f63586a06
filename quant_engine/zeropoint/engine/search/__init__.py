"""The search over plans for a result that is good enough."""

from zeropoint.engine.search.auto import auto
from zeropoint.engine.search.changes import Changes, RangeChoice
from zeropoint.engine.search.decided import Decided
from zeropoint.engine.search.departures import departures, done_again
from zeropoint.engine.search.grow import counted
from zeropoint.engine.search.guard import guard, safer
from zeropoint.engine.search.material import Material
from zeropoint.engine.search.networks import takes_other_weights
from zeropoint.engine.search.realize import realize, realize_dynamic
from zeropoint.engine.search.realizer import Realizer, edited
from zeropoint.engine.search.remedies import REMEDIES, Proposal, Proposer, offers, proposals
from zeropoint.engine.search.standing import (
    LEAST_DECISIONS,
    TENTH_BELOW_DB,
    Standing,
    floor_of,
    standing_of,
    tolerant,
)
from zeropoint.engine.search.workbench import AS_ASKED, Attempt, Suspect, Workbench
