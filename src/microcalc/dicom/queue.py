"""Images and results that the node has not finished, on disk: they outlive a kill at any moment."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from microcalc.errors import FailedError, RequestError
from microcalc.files import write_atomically

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    key TEXT PRIMARY KEY,             -- SHA-256 of the SOP Instance UID
    study TEXT,                       -- Study Instance UID; NULL once answered
    received REAL NOT NULL,           -- seconds since 1970
    bytes INTEGER NOT NULL,
    scans INTEGER NOT NULL DEFAULT 0, -- started, finished or not
    state TEXT NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'scanned', 'answered'))
);
CREATE TABLE IF NOT EXISTS studies (
    uid TEXT PRIMARY KEY,             -- Study Instance UID; the row goes once all its images are answered
    tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,                -- seconds since 1970
    parked INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS images_by_state ON images (state, study);
"""

MOST_RESULTS = 4
"""Most results of an image."""


class Waiting(NamedTuple):
    """One image that waits for its scan: its study, its file, and how often a scan of it was started."""

    key: str
    study: str
    file: Path
    scans: int


class Parked(NamedTuple):
    """One study whose results could not be sent: its UID, how many images wait, and the last problem."""

    study: str
    images: int
    problem: str


class Counts(NamedTuple):
    """How many images wait for a scan, wait to be sent, and are answered."""

    received: int
    scanned: int
    answered: int


def key_of(sop_instance_uid: str) -> str:
    """Return the name under which an image is kept: no UID appears in a file name.

    >>> key_of("1.2.3")[:8]
    'c47f5b18'
    """
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()


class Queue:
    """Images and results that wait, in a folder: SQLite for the states of images, a file for each image and result.

    A file is on disk, flushed, before the row of its image says so, and goes once it is scanned or sent; files that no
    row needs are deleted by :meth:`recover`. All methods may be called from any thread.

    Args:
        folder: made, for this user alone, where it is missing.

    Attributes:
        changed: the lock of all that is here; it is notified of every change.

    Raises:
        RequestError: the folder holds something else.
        FailedError: the disk is full or the folder cannot be used.

    >>> import tempfile
    >>> queue = Queue(Path(tempfile.mkdtemp()) / "queue")
    >>> queue.add("1.2.3.4", "1.2.3", b"an image"), queue.add("1.2.3.4", "1.2.3", b"an image")
    (True, False)
    >>> queue.counts()
    Counts(received=1, scanned=0, answered=0)
    """

    def __init__(self, folder: Path) -> None:
        self._images, self._results = folder / "images", folder / "results"
        self.changed = threading.Condition()
        try:
            self._images.mkdir(parents=True, exist_ok=True)
            self._results.mkdir(exist_ok=True)
            folder.chmod(0o700)
            self._database = sqlite3.connect(folder / "queue.sqlite", check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise RequestError(f"{folder}: is not the queue of a node ({error}); name another folder") from error
        except OSError as error:
            raise FailedError(
                f"{folder}: cannot be used for the queue ({error.strerror or error}); name another folder"
            ) from error

    def close(self) -> None:
        """Close the database."""
        with self.changed:
            self._database.close()

    def recover(self) -> None:
        """Take up where a killed node stopped: delete files without a row, and try parked studies once more."""
        self._query("UPDATE studies SET parked = 0, tries = 0, due = 0")
        for folder, state in ((self._images, "received"), (self._results, "scanned")):
            known = {key for (key,) in self._query("SELECT key FROM images WHERE state = ?", state)}
            for path in folder.iterdir():
                if path.stem not in known:
                    path.unlink()

    def add(self, sop_instance_uid: str, study: str, content: bytes) -> bool:
        """Keep an image until it is answered; return False where it is here already, or was answered before.

        Raises:
            FailedError: the disk is full.
        """
        key = key_of(sop_instance_uid)
        with self.changed:  # also while the file is written, or two senders of one image could both add it
            if self._query("SELECT 1 FROM images WHERE key = ?", key):
                return False
            _write(self._images, {key: content})
            self._change("INSERT OR IGNORE INTO studies (uid, due) VALUES (?, 0)", study)
            insert = "INSERT INTO images (key, study, received, bytes) VALUES (?, ?, ?, ?)"
            self._change(insert, key, study, time.time(), len(content))
        return True

    def bytes_waiting(self) -> int:
        """Return the size of all images that wait for a scan and of all results that wait to be sent."""
        images = self._query("SELECT COALESCE(SUM(bytes), 0) FROM images WHERE state != 'answered'")
        return int(images[0][0])

    def start_scan(self) -> Waiting | None:
        """Return the image that has waited longest, or None; its scan is counted before it can end the program."""
        select = (
            "SELECT key, study, scans FROM images JOIN studies ON study = uid "
            "WHERE state = 'received' AND NOT parked ORDER BY scans, received LIMIT 1"
        )
        with self.changed:
            for key, study, scans in self._query(select):
                self._change("UPDATE images SET scans = scans + 1 WHERE key = ?", key)
                return Waiting(key, study, self._images / key, scans + 1)
        return None

    def withdraw_scan(self, image: Waiting) -> None:
        """Take back the count of a scan that did not end the program, yet whose results could not be kept."""
        self._change("UPDATE images SET scans = scans - 1 WHERE key = ?", image.key)

    def finish_scan(self, image: Waiting, results: Sequence[bytes]) -> None:
        """Keep the results of an image until they are sent, and delete the image.

        Raises:
            FailedError: the disk is full.
        """
        _write(self._results, {f"{image.key}.{number}": content for number, content in enumerate(results)})
        with self.changed:
            size = sum(map(len, results))
            self._change("UPDATE images SET state = 'scanned', bytes = ? WHERE key = ?", size, image.key)
            image.file.unlink(missing_ok=True)

    def due_study(self, quiet_s: float) -> str | None:
        """Return a study to send now: all images scanned, none received for ``quiet_s`` seconds, no pause to keep."""
        now = time.time()
        select = (
            "SELECT uid FROM studies WHERE NOT parked AND due <= ? AND EXISTS "
            "(SELECT 1 FROM images WHERE study = uid AND state = 'scanned') AND NOT EXISTS "
            "(SELECT 1 FROM images WHERE study = uid AND (state = 'received' OR received > ?)) ORDER BY due LIMIT 1"
        )
        return next((uid for (uid,) in self._query(select, now, now - quiet_s)), None)

    def unsent(self, study: str) -> list[Path]:
        """Return the files of the results of a study that are still to be sent."""
        keys = self._query("SELECT key FROM images WHERE study = ? AND state = 'scanned' ORDER BY received", study)
        return [path for (key,) in keys for path in self._files(key)]

    def sent(self, result: Path) -> None:
        """Delete a result that a receiver has; with the last of an image, the image is answered."""
        with self.changed:
            if self._files(result.stem) == [result]:
                self._change("UPDATE images SET state = 'answered', study = NULL WHERE key = ?", result.stem)
                waiting = "SELECT study FROM images WHERE state IN ('received', 'scanned')"
                self._change(f"DELETE FROM studies WHERE uid NOT IN ({waiting})")
            result.unlink()

    def _files(self, key: str) -> list[Path]:
        paths = (self._results / f"{key}.{number}" for number in range(MOST_RESULTS))
        return [path for path in paths if path.exists()]

    def postpone(
        self, study: str, problem: str, pause_s: float = 0.0, longest_pause_s: float = 0.0, tries: int = 0
    ) -> bool:
        """Try a study again after a pause that doubles each time, or park it after ``tries``; return whether parked."""
        with self.changed:
            ((tried,),) = self._query("SELECT tries + 1 FROM studies WHERE uid = ?", study)
            due = time.time() + min(pause_s * 2.0 ** min(tried - 1, 60), longest_pause_s)
            update = "UPDATE studies SET tries = ?, due = ?, parked = ?, problem = ? WHERE uid = ?"
            self._change(update, tried, due, tried >= tries, problem, study)
        return bool(tried >= tries)

    def counts(self) -> Counts:
        """Return how many images are in which state."""
        found: dict[str, int] = dict(self._query("SELECT state, COUNT(*) FROM images GROUP BY state"))
        return Counts(*(found.get(state, 0) for state in ("received", "scanned", "answered")))

    def parked(self) -> list[Parked]:
        """Return the studies that are no longer tried."""
        rows = self._query(
            "SELECT uid, (SELECT COUNT(*) FROM images WHERE study = uid), problem "
            "FROM studies WHERE parked ORDER BY uid"
        )
        return [Parked(*row) for row in rows]

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.changed, closing(self._database.execute(statement, values)) as cursor:
            return cursor.fetchall()

    def _change(self, statement: str, *values: object) -> None:
        with self.changed:
            self._query(statement, *values)
            self.changed.notify_all()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files, and flush their folder: only then are renamed files surely on disk (fsync(2))."""
    for name, content in files.items():
        write_atomically(folder / name, content)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
