# Made from _async/uploads.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.uploads`: files from here to the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from fastpix import errors, upload_file
from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix._sync.sending import OnProgress, Said, Sending
from fastpix.answers import sent
from fastpix.types import Settings, SortOrder, Upload
from fastpix.upload_file import Source, State, Uploaded

CHUNK_BYTES = 16 << 20  # what the API's own uploaders use: an hour of 5 Mb/s video is 140 requests
CHUNK_UNIT_BYTES = 256 << 10  # of Google's protocol: every chunk but the last is a multiple


class UploadsOperations:
    """Operations on uploads; `upload` does all of it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def upload(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        settings: Settings | None = None,
        on_progress: OnProgress | None = None,
        state_file: str | os.PathLike[str] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        cors_origin: str = "*",
    ) -> Uploaded:
        """Sends a file, in chunks that are sent again where a connection broke; its media is `media_id` of the result.

        With a `state_file` a new process goes on where a former one ended: call it again with the same arguments. The
        file is removed at the end; it opens the upload, so keep it private. The bytes that the server has are compared
        by their SHA-256 first, and another file is refused with FileChanged. `on_progress` is called after every
        megabyte. A path or a seekable binary file is read, never held in memory.
        """
        if chunk_bytes < CHUNK_UNIT_BYTES or chunk_bytes % CHUNK_UNIT_BYTES:
            raise ValueError(f"chunk_bytes must be a multiple of {CHUNK_UNIT_BYTES}")
        path = None if state_file is None else Path(state_file)
        with Source(file) as source:
            base_url = self._api.http.credentials.base_url
            state = None if path is None else upload_file.load(path, base_url=base_url, size_bytes=source.size_bytes)
            sending, said = self._resumed(source, state, path, chunk_bytes, on_progress)
            if state is None or sending is None:
                state = self._begun(source, settings, cors_origin)
                sending, said = self._sending(source, state, path, chunk_bytes, on_progress), Said(0)
                sending.begin()
            try:
                sha256 = sending.run(said)
            except errors.Gone:
                if path is not None:
                    upload_file.forget(path)
                raise
        if path is not None:
            upload_file.forget(path)
        return Uploaded(state.upload_id, source.size_bytes, sha256, said.confirmed_bytes)

    def _resumed(
        self, source: Source, state: State | None, path: Path | None, chunk_bytes: int, on_progress: OnProgress | None
    ) -> tuple[Sending | None, Said]:
        """None for the first when there is nothing to resume."""
        if state is None:
            return None, Said(0)
        sending = self._sending(source, state, path, chunk_bytes, on_progress)
        said = sending.resume()
        return (None, Said(0)) if said is None else (sending, said)

    def _begun(self, source: Source, settings: Settings | None, cors_origin: str) -> State:
        made = self.create(settings=settings, cors_origin=cors_origin)
        if made.url is None:
            raise errors.UploadFailed("The server gave no URL to send the file to")
        base_url = self._api.http.credentials.base_url
        return State(base_url=base_url, upload_id=made.upload_id, url=made.url, size_bytes=source.size_bytes)

    def _sending(
        self, source: Source, state: State, path: Path | None, chunk_bytes: int, on_progress: OnProgress | None
    ) -> Sending:
        return Sending(
            self._api.http,
            self._api.options,
            source,
            state,
            chunk_bytes=chunk_bytes,
            state_path=path,
            on_progress=on_progress,
        )

    def create(self, *, settings: Settings | None = None, cors_origin: str = "*") -> Upload:
        """A URL that bytes may be sent to, by a browser or an app of yours; `upload` sends them from here.

        `settings` say what the media becomes, and are the options of `media.create`.
        """
        asked = settings or Settings()
        if asked.access_policy is None:
            asked = msgspec.structs.replace(asked, access_policy="public")
        body = sent(cors_origin=cors_origin, push_media_settings=asked)
        return self._api.call(op.CREATE_UPLOAD, Upload, body=body)

    def list(self, *, limit: int | None = None, page: int = 1, order_by: SortOrder | None = None) -> Pages[Upload]:
        """Uploads whose bytes have not come."""
        return self._api.list(op.LIST_UPLOADS, Upload, query={"orderBy": order_by}, limit=limit, page=page)

    def cancel(self, *, upload_id: str) -> Upload:
        """Ends an upload whose bytes have not all come; its URL stops working."""
        return self._api.call(op.CANCEL_UPLOAD, Upload, path={"uploadId": upload_id})
