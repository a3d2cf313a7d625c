"""The DICOMweb server whose studies the viewer lists and opens."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from microcalc.dicom.stow import PASSWORD, PATIENCE_S, TOKEN, USER, WebServer
from microcalc.errors import FailedError
from microcalc.images.silence import quiet

MOST_STUDIES = 200
_AS_STORED = (("application/dicom", "*"),)


class Server(WebServer):
    """A DICOMweb server that is asked by QIDO-RS and WADO-RS (PS3.18 10.6 and 10.4), beside what WebServer does."""

    def studies(self) -> list[dict[str, Any]]:
        """Return its studies that hold mammograms, the newest first, as the page shows them.

        Raises:
            FailedError: the server cannot be reached, or refuses.
        """
        with self._asked():
            found = self._client.search_for_studies(
                limit=MOST_STUDIES, fields=["NumberOfStudyRelatedInstances"], search_filters={"ModalitiesInStudy": "MG"}
            )
        studies = [
            {
                "study": _text(each, "0020000D"),
                "patient": _text(each, "00100020"),
                "name": _text(each, "00100010").replace("^", " ").strip(),
                "date": _text(each, "00080020"),
                "objects": _text(each, "00201208"),
            }
            for each in found
        ]
        return sorted(studies, key=lambda each: each["date"], reverse=True)

    def images(self, study: str) -> list[tuple[str, str, str]]:
        """Return the UIDs of study, series and instance of its mammograms.

        Raises:
            FailedError: as for :meth:`studies`; or the study holds no mammogram.
        """
        with self._asked():
            series = self._client.search_for_series(study, search_filters={"Modality": "MG"})
            found = [
                (study, uid, _text(instance, "00080018"))
                for uid in (_text(each, "0020000E") for each in series)
                for instance in self._client.search_for_instances(study, uid)
            ]
        if not found:
            raise FailedError(f"{self.url}: holds no mammogram of this study")
        return found

    def fetch(self, study: str, series: str, instance: str, path: Path) -> str:
        """Write one mammogram as the server holds it to a file, and return a name for it.

        Raises:
            FailedError: as for :meth:`studies`.
        """
        with self._asked():
            fetched = self._client.retrieve_instance(study, series, instance, media_types=_AS_STORED)
            with quiet():
                fetched.save_as(path)
            return f"{fetched.get('StudyDate') or 'mammogram'}_{fetched.get('InstanceNumber') or 1}.dcm"

    @cached_property
    def _client(self) -> Any:
        from dicomweb_client.web import DICOMwebClient

        self.session.headers["Accept-Encoding"] = "identity"  # packing pixels takes longer than sending them
        warnings.filterwarnings("ignore", module=r"pydicom\.")  # they may quote the patient
        client = DICOMwebClient(self.url, session=self.session, timeout=PATIENCE_S)
        client.set_http_retry_params(max_attempts=2, wait_exponential_multiplier=250)  # or an error takes 30 s to show
        return client

    @contextmanager
    def _asked(self) -> Iterator[None]:
        import requests

        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else "of no answer"
            way_out = f"; set {USER} and {PASSWORD}, or {TOKEN}" if status in (401, 403) else ""
            raise FailedError(f"{self.url}: answered with HTTP status {status}{way_out}") from error
        except Exception as error:  # of many kinds: its answer may be anything
            raise FailedError(f"{self.url}: cannot be reached, or is no DICOMweb server") from error


def _text(found: dict[str, Any], tag: str) -> str:
    """One value of DICOM JSON (PS3.18 F.2), empty where there is none."""
    value = (found.get(tag, {}).get("Value") or [""])[0]
    return str(value.get("Alphabetic", "") if isinstance(value, dict) else value)
