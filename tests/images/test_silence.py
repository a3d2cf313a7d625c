"""Messages of libraries about a patient never reach the terminal."""

import logging
import threading
import warnings

import pytest

from microcalc.images.silence import quiet

NAME = "Rossi^Maria"


def speak() -> None:
    """As pydicom and Pillow do, in both ways and from a logger below their own."""
    warnings.warn(f"Invalid value for VR PN: '{NAME}'", stacklevel=1)
    logging.getLogger("pydicom").warning(NAME)
    logging.getLogger("PIL.PngImagePlugin").error(NAME)


def test_warnings_and_logs_are_dropped_also_by_handlers_that_were_there(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = logging.StreamHandler()
    logging.getLogger("pydicom").addHandler(handler)
    try:
        with quiet(), quiet():
            speak()
        assert capfd.readouterr() == ("", "")
        logging.getLogger("pydicom").warning("heard again")
        assert "heard again" in capfd.readouterr().err
    finally:
        logging.getLogger("pydicom").removeHandler(handler)


def test_a_thread_that_began_first_does_not_end_the_silence_of_another(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    held, begun = threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            held.set()
            begun.wait(0.2)  # in vain with one lock: the second begins when this one is done

    other = threading.Thread(target=first)
    other.start()
    held.wait(5)
    with quiet():
        begun.set()
        other.join()
        speak()
    assert capfd.readouterr() == ("", "") and not recwarn.list
