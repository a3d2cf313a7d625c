"""A study from data to report."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from microcalc import __version__
from microcalc.committee.committee import Committee, ExpertShape, filtered
from microcalc.config import StudyConfig
from microcalc.data import Data
from microcalc.errors import DataError, RequestError
from microcalc.evaluation.audit import below_baseline
from microcalc.evaluation.study_figures import (
    Predicted,
    describe_data,
    evaluate_cross_validation,
    evaluate_external,
    evaluate_folds,
    evaluate_nested,
)
from microcalc.files import read_json, write_json
from microcalc.report.html import write_report
from microcalc.report.outputs import audit_study, write_study
from microcalc.runs import describe_environment, open_run
from microcalc.training.committee_fit import Ensemble, fit_rule, learn_weights
from microcalc.training.experts import load_expert, run_search
from microcalc.training.folds import (
    OnProgress,
    highest_views_by_experts,
    no_worker_left,
    predict_by_experts,
    run_folds,
)
from microcalc.training.memory import PeakMemory
from microcalc.training.naive import augment_before_split, split_naively
from microcalc.training.plan import check_no_shared_patients, plan_study
from microcalc.training.search import SearchResult
from microcalc.training.splits import StudySplit, check_split, check_unseen, grouped_folds
from microcalc.training.task import FoldTask

FAST_EXECUTION_WARNING = (
    "The search was skipped and hyperparameters saved in the package were taken: they were chosen on such data, "
    "so these figures are optimistic."
)
ASSUMED_SIZE = "the pixel size was assumed to be 0.085 mm where neither the file nor the user gave it"
NAIVE_WARNING = (
    "Naive protocol: patients and augmented copies stand on both sides of every split, the committee is weighed on "
    "patches it was trained on, and only the positives of the external set are tested. Do not report these figures."
)


class Model:
    """A study: five experts tuned and trained by cross-validation, their committee, and the evaluation of both.

    >>> from microcalc import Data, Model
    >>> model = Model(Data.load("phantom"), fast_execution=True, out="runs/example")
    >>> model.config.folds
    5
    """

    def __init__(
        self,
        data: Data,
        external: Data | None = None,
        *,
        test: Data | None = None,
        config: StudyConfig | None = None,
        searching_fraction: float | None = None,
        fast_execution: bool | None = None,
        seed: int | None = None,
        out: str | Path = "runs/first",
        jobs: int | None = None,
        client: Any = None,
        resume: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Plan a study; nothing is read or written yet.

        Args:
            data: what the experts are trained on and cross-validated with.
            external: patches from other mammograms, on which only the finished committee is evaluated.
            test: patches set aside before the study, on which only the finished committee is evaluated.
            config: all settings; ``searching_fraction``, ``fast_execution`` and ``seed`` go before those in it.
            out: the run directory, empty or missing.
            jobs: processes side by side; as many as cores when not given, and one beside a client.
            client: of a Dask cluster (``distributed.Client``) whose workers do the folds; they must share ``out``.
            resume: continue the study that is in ``out``.
            on_progress: called about four times a second with the state of each piece of work, by its name.

        Raises:
            RequestError: the settings make no study.
            DataError: a set is filtered by a wavelet, or ``external`` or ``test`` holds augmented copies or a patch of
                a patient of ``data``.
        """
        config = config or StudyConfig()
        given: dict[str, Any] = {"fast_execution": fast_execution, "seed": seed}
        if searching_fraction is not None:
            given["search"] = dataclasses.replace(config.search, searching_fraction=searching_fraction)
        config = dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
        if jobs is not None and jobs < 1:
            raise RequestError(f"jobs must be at least 1: got {jobs}")
        for name, other in (("data", data), ("external", external), ("test", test)):
            if other is not None and other.filtered_by != "none":
                raise DataError(
                    f"{name} must hold raw patches: {other.name} is filtered by {other.filtered_by}; "
                    "give it unfiltered and set the wavelet in the config"
                )
        for name, other in (("external", external), ("test", test)):
            if other is not None:
                if other.augmented:
                    raise DataError(f"{name} must hold no augmented copies: {other.name} has some")
                check_no_shared_patients(data, other, one_archive=other is test)
        self.data, self.external, self.test = data, external, test
        self.config = config
        self.out = Path(out)
        self.jobs = 1 if client is not None else jobs or joblib.cpu_count()
        self.client = client
        self.on_progress = on_progress
        self.split = self._plan()
        self._resume = resume
        self._held = False
        self._committee: Committee | None = None

    def _plan(self) -> StudySplit:
        config = self.config
        if config.protocol == "naive":
            share = config.validation_fraction
            return split_naively(self.data.labels, folds=config.folds, validation_fraction=share, seed=config.seed)
        return plan_study(self.data, config)

    def train(self) -> dict[str, Any]:
        """Run the whole study and leave its report in the run directory.

        Returns:
            The content of ``metrics.json``.

        Raises:
            RequestError: the run directory cannot be used.
            FailedError: something that was right went wrong on the way, such as a full disk.
        """
        start = time.monotonic()
        with self._run_directory(), PeakMemory() as peak:
            self.fold()
            self.get_ensemble()
            metrics, audited = self._evaluate(), audit_study(self._predicted)
            metrics["warnings"] += below_baseline(metrics["cross_validation"]["auc"], audited)
            metrics["timing"] |= {"total_s": time.monotonic() - start, "peak_memory_bytes": peak.bytes}
            write_study(self.out, self.config, self.split, self._predicted, self.committee, metrics, audited)
        return metrics

    def tuner(self, fold: int) -> SearchResult:
        """Search the hyperparameters of one fold, on its hold-out."""
        with self._run_directory():
            return run_search(self._tasks()[fold])

    def fold(self) -> None:
        """Tune and train the expert of every fold."""
        with self._run_directory():
            run_folds(self._tasks(), jobs=self.jobs, client=self.client, on_progress=self.on_progress)

    def get_ensemble(self) -> Committee:
        """Weigh and calibrate the experts on the patients set aside, choose the threshold, and save the committee."""
        tasks, chosen, config = self._tasks(), self.split.committee, self.config
        with self._run_directory():
            start = time.monotonic()
            check_split(self.split, self.data.groups)
            labels, groups = self.data.labels[chosen], self.data.groups[chosen]
            with no_worker_left(self.jobs):
                votes = predict_by_experts(tasks, self._filtered, jobs=self.jobs, client=self.client)
                ensemble = learn_weights(votes["own"][chosen], labels, groups, seed=config.seed)
                weights = ensemble.weights
                votes |= self._magnified_votes(weights)
            rule = fit_rule(votes["own"][chosen] @ weights, labels, config.sensitivity)
            magnified = fit_rule(votes["magnified"] @ weights, labels, config.sensitivity) if self._magnified else None
            trained = [load_expert(task) for task in tasks]
            preprocessing = config.training.preprocessing
            self._committee = Committee(
                networks=tuple(network for network, _ in trained),
                shapes=tuple(ExpertShape(**found, preprocessing=preprocessing) for _, found in trained),
                weights=weights,
                calibration=rule.calibration,
                threshold=rule.threshold,
                wavelet=config.wavelet,
                unknown_scale=magnified,
            )
            self._committee.save(self.out / "committee")
            history = {**ensemble.history, "external_accuracy": self._external_accuracy(ensemble, votes)}
            write_json(self.out / "committee" / "history.json", {**history, "seconds": time.monotonic() - start})
            self._predicted = {name: self._predict(data, votes[name]) for name, data in self._datasets().items()}
        return self._committee

    def _magnified_votes(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The votes on an external set of unknown pixel size, and on the committee's own patches seen likewise."""
        if self.external is None or not self._magnified:
            return {}
        images = np.concatenate([self.external.images, self.data.images[self.split.committee]])
        votes = highest_views_by_experts(self._tasks(), weights, images, jobs=self.jobs, client=self.client)
        return {"external": votes[: len(self.external)], "magnified": votes[len(self.external) :]}

    def _external_accuracy(self, ensemble: Ensemble, votes: dict[str, NDArray[np.float64]]) -> list[float]:
        """The accuracy on the external set with the weights of each epoch, for the learning curve alone."""
        if self.external is None:
            return []
        decisions = votes["external"] @ np.array(ensemble.history["weights"]).T >= 0.5
        return [float(share) for share in (decisions == self.external.labels[:, None]).mean(axis=0)]

    def _predict(self, data: Data, votes: NDArray[np.float64]) -> Predicted:
        committee, unknown = self.committee, data.pixel_size == "unknown"
        return Predicted(data, votes, committee.combine(votes, unknown), committee.rule(unknown).threshold)

    @property
    def _magnified(self) -> bool:
        """Whether the external set is of unknown pixel size, and is seen at several magnifications."""
        return self.external is not None and self.external.pixel_size == "unknown"

    @property
    def committee(self) -> Committee:
        """The committee, once :meth:`get_ensemble` has formed it."""
        if self._committee is None:
            raise RequestError(
                "the committee is not trained yet; call Model.train() first, or Committee.load(directory)"
            )
        return self._committee

    def get_predictions(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 60, 60) patches in [0, 1] to (n, experts): each trained expert's probability of a cluster."""
        return self.committee.expert_probabilities(images)

    def _datasets(self) -> dict[str, Data]:
        named = {"own": self.data, "external": self.external, "test": self.test}
        return {name: data for name, data in named.items() if data is not None}

    @cached_property
    def _filtered(self) -> dict[str, NDArray[np.float32]]:
        """The images of each dataset as the experts take them, but of an external set of unknown pixel size."""
        known = {name: data for name, data in self._datasets().items() if name != "external" or not self._magnified}
        return {name: filtered(data.images, self.config.wavelet) for name, data in known.items()}

    def _tasks(self) -> list[FoldTask]:
        return [
            FoldTask(
                number=number,
                images=self._filtered["own"],
                labels=self.data.labels,
                fold=fold,
                config=self.config,
                directory=self.out / "search" / f"fold_{number}",
            )
            for number, fold in enumerate(self.split.folds)
        ]

    def _evaluate(self) -> dict[str, Any]:
        """``metrics.json`` but for the whole time and memory."""
        own, config = self._predicted["own"], self.config
        histories = [read_json(task.directory / "history.json") for task in self._tasks()]
        folds = evaluate_folds(own, self.split, [history["hyperparameters"] for history in histories])
        finished = {
            name: evaluate_external(self._predicted[name], config.seed)
            for name in ("test", "external")
            if name in self._predicted
        }
        chosen = self.split.committee
        return {
            "schema": 1,
            "dataset": describe_data(self.data),
            "protocol": {
                "name": config.protocol,
                "folds": config.folds,
                "grouped": self.split.grouped,
                "validation_fraction": config.validation_fraction,
                "searching_fraction": config.search.searching_fraction,
                "trials_per_fold": 0 if config.fast_execution else config.search.trials,
                "seed": config.seed,
            },
            "folds": folds,
            "cross_validation": evaluate_cross_validation(own, self.split, folds, config.seed),
            "committee": {
                "weights": self.committee.weights.tolist(),
                "most_reliable": self.committee.highest_weight,
                "threshold": self.committee.threshold,
                "calibration": vars(self.committee.calibration),
                "share": len(chosen) / len(self.data.labels),
                "images": len(chosen),
                "patients": len(np.unique(self.data.groups[chosen])),
            },
            "test": finished.get("test"),
            "external": finished.get("external"),
            "gradcam": {"method": config.gradcam_method, "expert": self.committee.highest_weight},
            "timing": {
                "search_s": sum(trial["seconds"] for history in histories for trial in history["trials"]),
                "experts_s": sum(history["expert"]["seconds"] for history in histories),
                "ensemble_s": read_json(self.out / "committee" / "history.json")["seconds"],
            },
            "warnings": [FAST_EXECUTION_WARNING] * config.fast_execution
            + [NAIVE_WARNING] * (config.protocol == "naive")
            + list(
                dict.fromkeys(
                    f"{data.name}: {text}"
                    for data in self._datasets().values()
                    for text in [ASSUMED_SIZE] * (data.pixel_size == "assumed") + list(data.warnings)
                )
            ),
        }

    @contextmanager
    def _run_directory(self) -> Iterator[None]:
        """Hold the run directory; the steps of one study hold it together, or one after the other."""
        if self._held:
            yield
            return
        identity = {
            "microcalc": __version__,
            "settings": self.config.to_dict(),
            "data": {name: {"name": data.name, "sha256": data.fingerprint} for name, data in self._datasets().items()},
        }
        with open_run(self.out, identity, resume=self._resume), no_worker_left(self.jobs):
            self._held = self._resume = True
            try:
                write_json(self.out / "environment.json", describe_environment())
                yield
            finally:
                self._held = False


def run_naively(model: Model) -> dict[str, Any]:
    """Repeat a finished study the earlier way, in ``naive/``, and put both side by side in its report.

    Returns:
        The content of ``naive/metrics.json``.
    """
    config = model.config
    data, external = model.data, model.external
    if config.training_augmentation is not None:
        data = augment_before_split(data, config.training_augmentation, config.seed)
    naive = Model(
        data,
        external.select(external.labels == 1) if external is not None else None,
        config=dataclasses.replace(config, protocol="naive", augmentation=None),
        out=model.out / "naive",
        client=model.client,
        jobs=model.jobs,
        resume=True,
        on_progress=model.on_progress,
    )
    metrics = naive.train()
    write_json(model.out / "naive.json", metrics)
    write_report(model.out)
    return metrics


def run_nested(model: Model) -> dict[str, Any]:
    """Repeat a finished study, committee included, in an outer grouped cross-validation, in ``nested/``.

    Each outer fold is evaluated once, by the committee of a study that never saw its patients. The figures join the
    study's ``metrics.json`` and report as ``nested``.

    Returns:
        The content of ``metrics.json`` then.
    """
    data, config, jobs, client = model.data, model.config, model.jobs, model.client
    probabilities, decisions = np.empty(len(data)), np.empty(len(data))
    for number, (rest, part) in enumerate(grouped_folds(data.labels, data.groups, config.folds, config.seed)):
        out = model.out / "nested" / f"fold_{number}"
        inner = Model(data.select(rest), config=config, out=out, jobs=jobs, client=client, resume=True)
        inner.on_progress = model.on_progress
        check_unseen(part, rest, data.groups, "nested")
        inner.train()
        probabilities[part] = inner.committee.predict_proba(data.images[part])
        decisions[part] = probabilities[part] >= inner.committee.threshold
    metrics: dict[str, Any] = read_json(model.out / "metrics.json")
    metrics["nested"] = evaluate_nested(data, probabilities, decisions, config.seed)
    write_json(model.out / "metrics.json", metrics)
    write_report(model.out)
    return metrics
