"""Taking a model from a client."""

from zeropoint.engine.progress import Phase
from zeropoint.server.failure import JobError
from zeropoint.server.jobs.lane import Lane
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.pace import Pace
from zeropoint.server.manifest import Manifest
from zeropoint.server.messages import ModelChunk, ModelStatus, Progress
from zeropoint.server.storage import JobFolder, Upload


async def take_model(link: Link, manifest: Manifest, folder: JobFolder) -> None:
    """Take every file of `manifest` into `folder.model`.

    Raises:
        JobError: UPLOAD_INCOMPLETE, UPLOAD_CORRUPT, SCRATCH_FULL, PROTOCOL_VIOLATION, or what the
            link raises.
    """
    upload = Upload(manifest, folder)
    link.patience.begin()
    await link.send(ModelStatus(committed=upload.committed))
    lane = Lane()
    try:
        await _take(link, manifest, upload, lane)
        await lane.finished()
    finally:
        lane.close()
    await link.send(_progress(upload, manifest))


async def _take(link: Link, manifest: Manifest, upload: Upload, lane: Lane) -> None:
    """Take chunks until all have arrived; they are stored while the next ones come."""
    pace = Pace()
    while not upload.arrived:
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
        upload.accept(message)
        await lane.add(upload.store, message)
        if pace.due():
            await link.send(_progress(upload, manifest))


def _progress(upload: Upload, manifest: Manifest) -> Progress:
    return Progress(phase=Phase.UPLOAD, done=sum(upload.committed), total=manifest.size)
