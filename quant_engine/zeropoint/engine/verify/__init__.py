"""The proof: the shipped bytes, run and compared with the user's own model."""

from zeropoint.engine.verify.arithmetic import integer_share, multiply_accumulates
from zeropoint.engine.verify.checks import (
    COMPARE,
    DONE,
    KERNELS,
    LOAD,
    ORIGINAL,
    Verified,
    VerifyRequest,
    explain,
    not_run,
    verify,
)
from zeropoint.engine.verify.comparison import OutputComparison
from zeropoint.engine.verify.effect_values import (
    AloneModel,
    AloneNode,
    Effect,
    Effects,
    EffectsRequest,
    OutputNoise,
)
from zeropoint.engine.verify.effects import OnNode, measure_effects
from zeropoint.engine.verify.exactness import CodePair, ProofRequest, prove
from zeropoint.engine.verify.json_values import NotPlain, from_json, to_json
from zeropoint.engine.verify.original import ReferenceRequest, run_original
from zeropoint.engine.verify.output_forms import OutputForm, output_forms
from zeropoint.engine.verify.process import OnStage, VerifyProcess, start_spare, verify_contained
from zeropoint.engine.verify.saturating import Saturation
from zeropoint.engine.verify.similarity import DIFFERENT, compare
from zeropoint.engine.verify.speed import one_after_the_other, speed_of
from zeropoint.engine.verify.trial_process import ContainedTrials
from zeropoint.engine.verify.trial_values import Measured, TrialFailed, TrialRequest
from zeropoint.engine.verify.trials import InProcessTrials, Trials
from zeropoint.engine.verify.twins import TwinModel, TwinNode, run_twins
from zeropoint.engine.verify.verifier import ContainedVerifier, InProcessVerifier, Verifier
