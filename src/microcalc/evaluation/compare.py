"""Two runs side by side: DeLong's test on the patches that both predicted."""

import math
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

from microcalc.errors import RequestError
from microcalc.evaluation.delong import delong_test
from microcalc.evaluation.predictions_csv import PredictedPatch, read_predictions

ROLES = ("development", "test", "external")

_Patches = dict[str, PredictedPatch]


def compare_predictions(first_csv: Path, second_csv: Path) -> dict[str, dict[str, Any]]:
    """Test whether two runs rank the same patches differently well, for each role by itself.

    Patches are matched by ``file`` within ``role``; the probability is ``out_of_fold``, given by parts that never saw
    the patch, so patches kept for the committee have none and are left out. Patches of one ``patient`` depend on one
    another: the variance is clustered by patient (:func:`microcalc.evaluation.delong.delong_test`). A patch whose
    ``patient`` is empty counts as a patient of its own.

    Args:
        first_csv: ``predictions.csv`` of a run directory.
        second_csv: that of another.

    Returns:
        For each of ``development``, ``test`` and ``external`` that both files share patches of: ``n``, ``patients``,
        ``only_first`` and ``only_second`` (patches left out because the other lacks them), ``auc_first``,
        ``auc_second``, ``difference`` (first minus second), ``ci95``, ``z`` and ``p_value``. The last six are None
        where there are fewer than two patients of a class, z also where it is infinite.

    Raises:
        RequestError: a file cannot be read or is not such a table, or the two are not about the same patches; the
            message names the file, the line and the way out.

    >>> import tempfile
    >>> rows = [f"{n}.png,{n},{n % 2},external,{n % 2 * 0.5 + n / 20}" for n in range(8)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "predictions.csv"
    ...     _ = path.write_text("\\n".join(["file,patient,label,role,out_of_fold", *rows]))
    ...     compare_predictions(path, path)["external"]["p_value"]
    1.0
    """
    first, second = (
        {role: {patch.file: patch for patch in patches if patch.role == role} for role in ROLES}
        for patches in (read_predictions(first_csv), read_predictions(second_csv))
    )
    roles = [role for role in ROLES if first[role].keys() & second[role].keys()]
    if not roles:
        raise RequestError(f"{first_csv} and {second_csv} share no predicted patch: compare two runs on the same data")
    for role in roles:
        _refuse_disagreement(first[role], second[role], first_csv, second_csv)
    return {role: _compare(first[role], second[role]) for role in roles}


def _compare(first: _Patches, second: _Patches) -> dict[str, Any]:
    """DeLong's test over the files in common."""
    files = sorted(first.keys() & second.keys())
    pairs = [(first[file], second[file]) for file in files]
    patients = {label: {one.patient for one, _ in pairs if one.label == label} for label in (0, 1)}
    figures: dict[str, Any] = dict.fromkeys(("auc_first", "auc_second", "difference", "ci95", "z", "p_value"))
    if min(map(len, patients.values())) >= 2:
        outcome = delong_test(
            [one.label for one, _ in pairs],
            np.array([one.probability for one, _ in pairs], np.float64),
            np.array([other.probability for _, other in pairs], np.float64),
            groups=[one.patient for one, _ in pairs],
        )
        z = outcome.z if math.isfinite(outcome.z) else None
        figures = {**vars(outcome), "ci95": list(outcome.ci95), "z": z}
    return {
        "n": len(files),
        "patients": len(patients[0] | patients[1]),
        "only_first": len(first) - len(files),
        "only_second": len(second) - len(files),
        **figures,
    }


def _refuse_disagreement(first: _Patches, second: _Patches, first_csv: Path, second_csv: Path) -> None:
    """The same file must be the same patch in both."""
    for file in sorted(first.keys() & second.keys()):
        one, other = first[file], second[file]
        for name, here, there in (("label", one.label, other.label), ("patient", one.patient, other.patient)):
            if here != there:
                raise RequestError(
                    f"{shortened(file)} has {name} {shortened(here)} in {first_csv}, line {one.line}, but"
                    f" {shortened(there)} in {second_csv}, line {other.line}: compare two runs on the same data"
                )
