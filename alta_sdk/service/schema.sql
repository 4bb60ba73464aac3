-- The queue of the workstation service. Times are seconds since the epoch, for people.
CREATE TABLE studies (
  key TEXT PRIMARY KEY, study_uid TEXT NOT NULL, state TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 1,
  attempts INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, sender TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', explanation TEXT, received_at REAL NOT NULL, changed_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX studies_by_state ON studies (state, received_at);
CREATE TABLE instances (
  sop_uid TEXT PRIMARY KEY, sop_class TEXT NOT NULL, series_uid TEXT NOT NULL, study_uid TEXT NOT NULL,
  study_key TEXT NOT NULL REFERENCES studies ON DELETE CASCADE, syntax TEXT NOT NULL, sha256 TEXT NOT NULL,
  size INTEGER NOT NULL, file TEXT NOT NULL, sender TEXT NOT NULL, received_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX instances_by_study ON instances (study_key);
CREATE TABLE results (
  study_key TEXT NOT NULL REFERENCES studies ON DELETE CASCADE, revision INTEGER NOT NULL, engine TEXT NOT NULL,
  engine_hash TEXT NOT NULL, content TEXT NOT NULL, scored_at REAL NOT NULL, PRIMARY KEY (study_key, revision)
) WITHOUT ROWID;
CREATE TABLE objects (
  sop_uid TEXT PRIMARY KEY, sop_class TEXT NOT NULL, kind TEXT NOT NULL, file TEXT NOT NULL,
  study_key TEXT NOT NULL, revision INTEGER NOT NULL,
  FOREIGN KEY (study_key, revision) REFERENCES results ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX objects_by_result ON objects (study_key, revision);
CREATE TABLE deliveries (
  sop_uid TEXT NOT NULL REFERENCES objects ON DELETE CASCADE, destination TEXT NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', transaction_uid TEXT NOT NULL DEFAULT '',
  changed_at REAL NOT NULL, PRIMARY KEY (sop_uid, destination)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_state ON deliveries (state, destination);
CREATE TABLE commitments (
  transaction_uid TEXT PRIMARY KEY, requester TEXT NOT NULL, items TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, study_key TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, verb TEXT NOT NULL, argument TEXT NOT NULL, actor TEXT NOT NULL, answer TEXT
);
