"""Remedies for a result that is not accurate enough, each behind one interface.

A remedy proposes changes, with what they cost; whoever searches makes and measures them, and keeps
what helps. To undo one is to go on from the changes before: they are values.
"""

from zeropoint.engine.search.remedies.offered import REMEDIES, offers, proposals
from zeropoint.engine.search.remedies.proposal import Proposal, Proposer
