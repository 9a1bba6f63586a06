"""Taking a model from a client."""

import asyncio

from zeropoint.server.failure import JobError
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.pace import Pace
from zeropoint.server.manifest import Manifest
from zeropoint.server.messages import ModelChunk, ModelStatus, Phase, Progress
from zeropoint.server.storage import JobFolder, Upload


async def take_model(link: Link, manifest: Manifest, folder: JobFolder) -> None:
    """Take every file of `manifest` into `folder.model`.

    Raises:
        JobError: UPLOAD_INCOMPLETE, UPLOAD_CORRUPT, SCRATCH_FULL, PROTOCOL_VIOLATION, or what the
            link raises.
    """
    upload = Upload(manifest, folder)
    await link.send(ModelStatus(committed=upload.committed))
    pace = Pace()
    while not upload.complete:
        message = await link.receive()
        if message is None:
            held = sum(upload.committed)
            raise JobError(
                "UPLOAD_INCOMPLETE",
                f"The stream ended after {held} of {manifest.size} bytes of the model.",
                held=held,
                bytes=manifest.size,
            )
        if not isinstance(message, ModelChunk):
            raise JobError(
                "PROTOCOL_VIOLATION", "Something else came before the model was complete."
            )
        await asyncio.to_thread(upload.write, message)
        if pace.due():
            await link.send(_progress(upload, manifest))
    await link.send(_progress(upload, manifest))


def _progress(upload: Upload, manifest: Manifest) -> Progress:
    return Progress(phase=Phase.UPLOAD, done=sum(upload.committed), total=manifest.size)
