"""What the node has taken on and not yet finished, on disk: it outlives a kill at any moment."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
CREATE TABLE IF NOT EXISTS results (
    name TEXT PRIMARY KEY,            -- of its file
    image TEXT NOT NULL REFERENCES images (key),
    sent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS studies (
    uid TEXT PRIMARY KEY,             -- Study Instance UID; the row goes once all its images are answered
    tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,                -- seconds since 1970
    parked INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS images_by_state ON images (state, study);
CREATE INDEX IF NOT EXISTS results_by_image ON results (image);
"""


@dataclass(frozen=True)
class Waiting:
    """One image that waits for its scan: its study, its file, when it came, and how often a scan of it was started."""

    key: str
    study: str
    file: Path
    received: float
    scans: int


@dataclass(frozen=True)
class Parked:
    """One study whose results could not be sent: its UID, how many images wait, and the last problem."""

    study: str
    images: int
    problem: str


@dataclass(frozen=True)
class Counts:
    """How many images wait for a scan, wait to be sent, and are answered."""

    received: int
    scanned: int
    answered: int


def key_of(sop_instance_uid: str) -> str:
    """Under which an image is kept: no UID appears in a file name.

    >>> key_of("1.2.3")[:8]
    'c47f5b18'
    """
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()


class Queue:
    """Images and results that wait, in a folder: SQLite for their states, a file for each image and each result.

    A file is on disk, flushed, before its row says so, and is deleted only after its row no longer needs it; files
    without a row are deleted when the queue is opened. All methods may be called from any thread.

    Args:
        folder: made, for this user alone, where it is missing.

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
        self.folder = folder
        self.changed = threading.Condition()
        self._lock = threading.RLock()
        try:
            for part in (self._images, self._results):
                part.mkdir(parents=True, exist_ok=True)
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

    @property
    def _images(self) -> Path:
        return self.folder / "images"

    @property
    def _results(self) -> Path:
        return self.folder / "results"

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def recover(self) -> None:
        """Take up where a killed node stopped: delete files that belong to no row, try parked studies once more."""
        with self._transaction() as database:
            images = {row[0] for row in database.execute("SELECT key FROM images WHERE state = 'received'")}
            results = {row[0] for row in database.execute("SELECT name FROM results")}
            database.execute("UPDATE studies SET parked = 0, tries = 0, due = 0")
        for folder, known in ((self._images, images), (self._results, results)):
            for path in folder.iterdir():
                if path.name not in known:
                    path.unlink()

    def add(self, sop_instance_uid: str, study: str, content: bytes) -> bool:
        """Keep an image until it is answered; False where it is here already, or was answered before.

        Raises:
            FailedError: the disk is full.
        """
        key = key_of(sop_instance_uid)
        with self._lock:  # also while the file is written, or two senders of one image could both add it
            if self._query("SELECT 1 FROM images WHERE key = ?", key):
                return False
            write_atomically(self._images / key, content)
            _flush_folder(self._images)
            with self._transaction() as database:
                insert = "INSERT INTO images (key, study, received, bytes) VALUES (?, ?, ?, ?)"
                database.execute(insert, (key, study, time.time(), len(content)))
                database.execute("INSERT OR IGNORE INTO studies (uid, due) VALUES (?, 0)", (study,))
        self._notify()
        return True

    def bytes_waiting(self) -> int:
        """Size of all images that wait for a scan and of all results that wait to be sent."""
        images = self._query("SELECT COALESCE(SUM(bytes), 0) FROM images WHERE state != 'answered'")
        return int(images[0][0])

    def start_scan(self) -> Waiting | None:
        """The image that has waited longest, or None. That a scan of it starts is noted first, lest it kills us."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT key, study, received, scans FROM images JOIN studies ON study = uid "
                "WHERE state = 'received' AND NOT parked ORDER BY scans, received LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            database.execute("UPDATE images SET scans = scans + 1 WHERE key = ?", (row[0],))
        return Waiting(row[0], row[1], self._images / row[0], row[2], row[3] + 1)

    def withdraw_scan(self, image: Waiting) -> None:
        """A started scan did not end the program, yet its results could not be kept: it does not count."""
        with self._transaction() as database:
            database.execute("UPDATE images SET scans = scans - 1 WHERE key = ?", (image.key,))

    def finish_scan(self, image: Waiting, results: Sequence[bytes]) -> None:
        """Keep the results of an image until they are sent, and delete the image.

        Raises:
            FailedError: the disk is full.
        """
        names = [f"{image.key}.{number}" for number in range(len(results))]
        for name, content in zip(names, results, strict=True):
            write_atomically(self._results / name, content)
        _flush_folder(self._results)
        with self._transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO results (name, image) VALUES (?, ?)", [(name, image.key) for name in names]
            )
            size = sum(map(len, results))
            database.execute("UPDATE images SET state = 'scanned', bytes = ? WHERE key = ?", (size, image.key))
        image.file.unlink(missing_ok=True)
        self._notify()

    def due_study(self, quiet_s: float) -> str | None:
        """A study to send now: all its images scanned, none come for ``quiet_s`` seconds, and no pause to keep."""
        now = time.time()
        rows = self._query(
            "SELECT uid FROM studies WHERE NOT parked AND due <= ? AND EXISTS "
            "(SELECT 1 FROM images WHERE study = uid AND state = 'scanned') AND NOT EXISTS "
            "(SELECT 1 FROM images WHERE study = uid AND (state = 'received' OR received > ?)) ORDER BY due LIMIT 1",
            now,
            now - quiet_s,
        )
        return rows[0][0] if rows else None

    def unsent(self, study: str) -> list[Path]:
        """Files of the results of a study that are still to be sent."""
        rows = self._query(
            "SELECT name FROM results JOIN images ON image = key WHERE study = ? AND NOT sent ORDER BY name", study
        )
        return [self._results / row[0] for row in rows]

    def sent(self, result: Path) -> None:
        """Note that a receiver has a result; with the last of an image, the image is answered and its files go."""
        with self._transaction() as database:
            database.execute("UPDATE results SET sent = 1 WHERE name = ?", (result.name,))
            image, study = database.execute(
                "SELECT key, study FROM results JOIN images ON image = key WHERE name = ?", (result.name,)
            ).fetchone()
            if database.execute("SELECT 1 FROM results WHERE image = ? AND NOT sent", (image,)).fetchone():
                return
            names = [row[0] for row in database.execute("SELECT name FROM results WHERE image = ?", (image,))]
            database.execute("DELETE FROM results WHERE image = ?", (image,))
            database.execute("UPDATE images SET state = 'answered', study = NULL WHERE key = ?", (image,))
            if not database.execute("SELECT 1 FROM images WHERE study = ?", (study,)).fetchone():
                database.execute("DELETE FROM studies WHERE uid = ?", (study,))
        for name in names:
            (self._results / name).unlink(missing_ok=True)
        self._notify()

    def postpone(self, study: str, problem: str, pause_s: float, longest_pause_s: float, tries: int) -> bool:
        """Try a study again after a pause that doubles each time, or park it after ``tries``; whether it is parked."""
        with self._transaction() as database:
            row = database.execute("SELECT tries FROM studies WHERE uid = ?", (study,)).fetchone()
            tried = int(row[0]) + 1
            parked: bool = tried >= tries
            pause = min(pause_s * 2.0 ** min(tried - 1, 60), longest_pause_s)
            database.execute(
                "UPDATE studies SET tries = ?, due = ?, parked = ?, problem = ? WHERE uid = ?",
                (tried, time.time() + pause, parked, problem, study),
            )
        self._notify()
        return parked

    def park(self, study: str, problem: str) -> None:
        """Stop trying a study until the node starts again."""
        with self._transaction() as database:
            database.execute("UPDATE studies SET parked = 1, problem = ? WHERE uid = ?", (problem, study))

    def counts(self) -> Counts:
        """How many images are in which state."""
        found: dict[str, int] = dict(self._query("SELECT state, COUNT(*) FROM images GROUP BY state"))
        return Counts(*(found.get(state, 0) for state in ("received", "scanned", "answered")))

    def parked(self) -> list[Parked]:
        """Studies that are no longer tried."""
        rows = self._query(
            "SELECT uid, (SELECT COUNT(*) FROM images WHERE study = uid), problem "
            "FROM studies WHERE parked ORDER BY uid"
        )
        return [Parked(*row) for row in rows]

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, closing(self._database.execute(statement, values)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()


def _flush_folder(folder: Path) -> None:
    """A renamed file is surely on disk once its folder is (fsync(2))."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
