"""Score the studies that wait, one after the other: their files in, a result and its reports out, in one transaction.

What a study itself is the cause of refuses it; what may pass is tried again; what the machine is the cause of, such as
a full disk, counts against no study. Reports are on the disk before the queue knows of them, and named by what they
are of, so a kill between the two leaves a file that the next start removes, and the same report afterwards.
"""

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..dicom.intensity import GreyOptions
from ..errors import ServiceError, StudyError
from ..locate.heatmap import Heatmap
from ..matching.results import ZeroShotResult
from ..study.examination import ReadOptions
from ..study.key import SiteKey
from ..study.study import Study
from .audit import Audit
from .choosing import choose_engine, explain_refusal
from .database import error_text
from .engines import Engines, OpenEngine
from .job_store import JobStore
from .loops import describe_fault
from .reading import PriorFinder, StudyReader
from .records import Result, ResultObject, StudyJob
from .report_content import EncodedObject, Predecessor, ReportContent
from .settings import Settings
from .spool import Spool

REPORT, HEAT_MAP = "sr", "heat map"
NO_IMAGES = "images of it are kept no longer: send the whole study again, then retry it"
IDLE_S, AFTER_FAILURE_S, AFTER_FAULT_S = 0.5, 5.0, 30.0
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EACCES)
_log = logging.getLogger("alta_sdk")

ReportWriter = Callable[[ReportContent, SiteKey], EncodedObject]
HeatMapWriter = Callable[[ReportContent, Heatmap, str, SiteKey], EncodedObject]


@dataclass(frozen=True)
class Writers:
    """What makes DICOM of a result."""

    report: ReportWriter
    heat_map: HeatMapWriter | None = None


class Scoring:
    """Scores one study at a time; one thread calls it.

    fault: what is wrong with the machine, one line, "" if nothing is. on_result: called when there is one to deliver.
    """

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        spool: Spool,
        site_key: SiteKey,
        audit: Audit,
        writers: Writers,
        engines: Engines,
        find_prior: PriorFinder | None = None,
    ) -> None:
        """Score the studies of a store with engines. find_prior: asks for earlier studies, where that is wanted."""
        self._settings, self._store, self._spool = settings, store, spool
        self._site_key, self._audit, self._writers, self._engines = site_key, audit, writers, engines
        self._allow_raw = settings.receiving.allow_for_processing
        self._reader = StudyReader(spool.folder, allow_for_processing=self._allow_raw, find_prior=find_prior)
        self._held: StudyJob | None = None
        self.fault = ""
        self.on_result: Callable[[], None] = lambda: None

    def step(self) -> float:
        """Score one study; return how long to wait before the next."""
        if self._held is not None:
            self._store.release_scoring(self._held, self.fault)
            self._held = None
        try:
            is_there, has_failed = self.score_next()
        except (OSError, sqlite3.Error) as error:
            reason = error_text(error)
            self.fault = f"results cannot be written: {reason}; see to the disk"
            _log.error("scoring waits: %s", self.fault)
            return AFTER_FAULT_S
        self.fault = ""
        return AFTER_FAILURE_S if has_failed else 0.0 if is_there else IDLE_S

    def score_next(self) -> tuple[bool, bool]:
        """Take the study that has waited longest to where it goes from here; say if one did, and if it failed.

        Raises sqlite3.Error where the queue's disk fails, and OSError where the spool's does: the next step lets the
        study wait again.
        """
        job = self._store.begin_scoring()
        if job is None:
            return False, False
        self._held = job  # until it is somewhere else
        try:
            self._score(job)
            has_failed = False
        except StudyError as error:
            self._refuse(job, error)
            has_failed = False
        except Exception as error:
            if isinstance(error, sqlite3.Error) or (isinstance(error, OSError) and error.errno in _MACHINE):
                raise
            reason = describe_fault(error)
            has_failed = self._store.fail_scoring(job, reason)
            _log.error("study %s could not be scored, attempt %d: %s", job.key, job.attempts + 1, reason)
        self._held = None
        return True, has_failed

    def _score(self, job: StudyJob) -> None:
        """Score a study and keep what comes of it; raises StudyError for one that cannot be."""
        files = self._list_files(job)
        choice = choose_engine(self._settings, files, job.sender)
        with self._engines.use(choice.name) as engine:
            read = self._reader.read(engine, files)
            result = engine.matcher.zero_shot(read.study, engine.labels)
            heat_map = self._draw(engine, read.study, result)
            sha256 = engine.sha256
        content = ReportContent(
            study_key=job.key,
            revision=job.revision,
            images=read.pick_images(result.provenance["slots"]),
            result=result,
            scored_at=datetime.now().astimezone(),
            notices=read.notices,
            predecessor=self._find_predecessor(job),
        )
        report = self._writers.report(content, self._site_key)
        encoded = [(REPORT, report)]
        if heat_map is not None and self._writers.heat_map is not None:
            encoded.append((HEAT_MAP, self._writers.heat_map(content, heat_map, result.top, self._site_key)))
        told = {
            **result.as_dict(),
            "explanation": read.study.explain(),
            "notices": [*read.notices, *result.provenance["reading"]],
            "report_series_uid": report.series_uid,
        }
        self._keep(job, choice.name, sha256, told, encoded)

    def _keep(
        self,
        job: StudyJob,
        engine: str,
        sha256: str,
        told: dict[str, Any],
        encoded: Sequence[tuple[str, EncodedObject]],
    ) -> None:
        """Write the objects, then the row; what a later arrival has overtaken is removed again."""
        names: list[str] = []
        is_kept = False
        try:
            objects = []
            for kind, one in encoded:
                names.append(self._spool.write((one.data,)))
                objects.append(ResultObject(one.sop_uid, one.sop_class, kind, names[-1]))
            result = Result(job.key, job.revision, engine, sha256, told, tuple(objects), time.time())
            is_kept = self._store.finish_scoring(result, [one.name for one in self._settings.destinations])
        finally:
            if not is_kept:
                self._spool.remove(names)
        if is_kept:
            self._audit.note("service", "scored", job.key, f"revision {job.revision} by {engine} {sha256[:12]}")
            _log.info("study %s was scored, revision %d", job.key, job.revision)
            self.on_result()

    def _list_files(self, job: StudyJob) -> list[Path]:
        instances = self._store.list_instances(job.key)
        files = [self._spool.find(one.file) for one in instances if one.file]
        if len(files) < len(instances) or not all(map(os.path.isfile, files)):
            raise StudyError(NO_IMAGES)
        if not files:
            raise ServiceError("study has no instance: it was erased just now")
        return files

    def _draw(self, engine: OpenEngine, study: Study, result: ZeroShotResult) -> Heatmap | None:
        """Draw where the label with the highest score matches, if that is wanted."""
        return engine.matcher.locate(study, result.top) if engine.choice.heat_map else None

    def _find_predecessor(self, job: StudyJob) -> Predecessor | None:
        for earlier in self._store.list_results(job.key):
            for one in earlier.objects:
                if one.kind == REPORT:
                    return Predecessor(one.sop_class, one.sop_uid, earlier.content["report_series_uid"])
        return None

    def _refuse(self, job: StudyJob, error: StudyError) -> None:
        """Set a study aside with what was found in it."""
        files = [self._spool.find(one.file) for one in self._store.list_instances(job.key) if one.file]
        options = ReadOptions(GreyOptions(allow_for_processing=self._allow_raw), any_body_part=True)
        if self._store.refuse_study(job, str(error), explain_refusal(files, options)):
            self._audit.note("service", "refused", job.key)
            _log.warning("study %s was refused: %s", job.key, error)
