"""Files that are sent along: batchops has no form for any."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler


class NoFiles(FileUploadHandler):
    """Refuses a file at its start; Django would let anybody fill the disk with one."""

    def new_file(self, *_: Any, **__: Any) -> None:
        raise SuspiciousOperation("A file was sent, and batchops takes none.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002
        return None

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002
        return None
