"""The life of a worker: limits, the engine, one job."""

import gc
import importlib
import os
import socket
import traceback
from pathlib import Path
from typing import cast

from zeropoint import v1
from zeropoint.engine.errors import EngineError
from zeropoint.engine.shortage import shortage_of
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.channel import WorkerChannel
from zeropoint.server.worker.containment import contain, watch
from zeropoint.server.worker.conversation import Conversation, Engine
from zeropoint.server.worker.diagnosis import out_of_memory, speaks_of_memory
from zeropoint.server.worker.protocol import Kind, WorkerSettings

_RUN_REASONS = ("MODEL_NOT_RUNNABLE", "MODEL_UNSUPPORTED", "RESULT_NOT_RUNNABLE")


def live(settings: WorkerSettings) -> None:
    """Limit this process, load the engine, do one job."""
    end = socket.socket(fileno=settings.socket)
    contain(settings)
    watch(end)
    _serve(end, settings)


def load_engine(module: str) -> Engine:
    """Import the engine and compile what it needs; the second time there is nothing to do."""
    engine = cast("Engine", importlib.import_module(module))
    engine.load()
    return engine


def _serve(end: socket.socket, settings: WorkerSettings) -> None:
    """Do one job, and tell how it failed if it does."""

    def told(text: str) -> str:
        return text.replace(f"{settings.folder}{os.sep}", "").replace(settings.folder, "")

    def fail(reason: str, message: str, metadata: dict[str, str]) -> None:
        failure = v1.Failure(reason=reason, message=told(message), metadata=metadata)
        channel.send(Kind.FAILED, failure.SerializeToString())

    channel = WorkerChannel(end)
    try:
        engine = load_engine(settings.engine)
        engine.warm()
        # What is loaded stays; graphs of many small objects are not worth frequent collections.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        folder = JobFolder(Path(settings.folder))
        Conversation(channel, engine, folder, settings.threads, told).run()
    except Exception as error:  # noqa: BLE001 - the server learns of everything, and logs it
        # Of a sound model, too, ONNX Runtime says that it cannot load it where memory runs out.
        about_run = not isinstance(error, EngineError) or error.reason in _RUN_REASONS
        if isinstance(error, MemoryError) or (about_run and speaks_of_memory(str(error))):
            fail(out_of_memory().reason, out_of_memory().message, {})
        elif (shortage := shortage_of(error)) is not None:
            fail(shortage.reason, shortage.message, {})
        elif isinstance(error, EngineError):
            fail(error.reason, error.message, {k: told(v) for k, v in error.metadata.items()})
        else:
            traceback.print_exc()
            fail("INTERNAL", "", {})
