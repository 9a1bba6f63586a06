"""The process in which candidates are measured: `python -m zeropoint.engine.verify.trial_child`.

It reads paths of files from its standard input, each a JSON string on a line: of an `Original`,
which it takes up at once and answers with the reference, then of any number of `TrialQuestion`. It
writes `TrialAnswer`, one JSON object a line. It ends when its standard input does.
"""

import dataclasses
import os
import traceback
from typing import BinaryIO, NoReturn

from zeropoint.engine.shortage import shortage_of
from zeropoint.engine.verify.child_pipes import private_output, requests, write
from zeropoint.engine.verify.json_values import from_json
from zeropoint.engine.verify.messages import Original, Refusal, TrialAnswer, TrialQuestion
from zeropoint.engine.verify.trial_values import TrialFailed
from zeropoint.engine.verify.trials import InProcessTrials


def main() -> NoReturn:
    """Answer until there are no more questions."""
    out, waiting = private_output(), requests()
    try:
        original = from_json(Original, waiting.get())
        trials = _begin(out, original)
        while True:
            question = from_json(TrialQuestion, waiting.get())
            write(out, _answer(out, trials, question))
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends
        traceback.print_exc()
        os._exit(1)


def _begin(out: BinaryIO, original: Original) -> InProcessTrials:
    try:
        trials = InProcessTrials(original.request, original.reference)
    except Exception as error:
        write(out, _short_of(error))
        raise
    write(out, TrialAnswer(reference=dataclasses.replace(trials.reference, session=None)))
    return trials


def _answer(out: BinaryIO, trials: InProcessTrials, question: TrialQuestion) -> TrialAnswer:
    def tell(done: int, total: int) -> None:
        write(out, TrialAnswer(done=done, total=total))

    try:
        if question.measure is not None:
            return TrialAnswer(measured=trials.measure(question.measure))
        if question.effects is not None:
            return TrialAnswer(effects=trials.effects(question.effects, tell))
        return TrialAnswer(speeds=trials.speed(question.speed))
    except TrialFailed as failed:
        return TrialAnswer(failure=str(failed))
    except Exception as error:  # noqa: BLE001 - it is raised again where it is none of these
        return _short_of(error)


def _short_of(error: Exception) -> TrialAnswer:
    """Return what the machine has run out of.

    Raises:
        Exception: the error itself, where it is something else.
    """
    shortage = shortage_of(error)
    if shortage is None:
        raise error
    return TrialAnswer(refusal=Refusal.of(shortage))


if __name__ == "__main__":
    main()
