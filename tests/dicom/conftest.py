"""Helpers for the tests of the DICOM room: made objects, and the programs that judge them."""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java spends half its time on compiling better code than a run of seconds needs."""
NO_LIMITS = " ".join(f"-Djdk.xml.xpath{kind}Limit=0" for kind in ("TotalOp", "ExprOp", "ExprGrp"))
"""The validator's XPath is longer than this Java's defaults allow."""

PIXELMED = Path("/usr/share/java/pixelmed.jar")
RULES = "com/pixelmed/validate/CommonDicomSRValidationRules.xsl"
CODES = "document('DicomContextGroupsSource.xml')"


@pytest.fixture(scope="session")
def rules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Have Java find the validator's rules with one change: all codes are read once, not once for each code checked.

    Fifty findings then take 5 seconds and 0.4 GB, not minutes and 10 GB. The variable that holds the codes names a key,
    as Java would otherwise look for references between content items among the codes.
    """
    folder = tmp_path_factory.mktemp("rules")
    if PIXELMED.exists():
        text = zipfile.ZipFile(PIXELMED).read(RULES).decode().replace(CODES, "$codes")
        once = CODES.replace("('", "(concat('").replace(")", ", substring(name(key('idkey', 'x')), 1, 0)))")
        text = text.replace("</xsl:stylesheet>", f'<xsl:variable name="codes" select="{once}"/></xsl:stylesheet>')
        (folder / RULES).parent.mkdir(parents=True)
        (folder / RULES).write_text(text)
    return f"-Xbootclasspath/a:{folder}"


@pytest.fixture
def program(rules: str) -> Callable[..., str]:
    """Run a program on a file and return all that it says; skip where it is not installed."""

    def run(name: str, *arguments: str | Path) -> str:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed; .ci/run installs it where it may")
        environment = {**os.environ, "JAVA_TOOL_OPTIONS": f"{QUICK} {NO_LIMITS} {rules}"}
        done = subprocess.run([name, *map(str, arguments)], capture_output=True, env=environment, timeout=600)
        return (done.stdout + done.stderr).decode(errors="replace")

    return run
