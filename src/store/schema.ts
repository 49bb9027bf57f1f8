import type { Migration } from "./database.ts";

/**
 * Every table of the two databases. Times are UTC milliseconds unless a column's name says otherwise.
 * A change is a new entry at the end of the list, never an edit of an old one: boxes in the field have run the old ones.
 */

export const SEGMENT_OPEN = 0;
export const SEGMENT_CLOSED = 1;
export const SEGMENT_DELETING = 2;

const CATALOG_1 = `
-- A storage root that has held segments. Kept when it leaves the configuration: its disk may come back.
CREATE TABLE root (
  root_id  INTEGER PRIMARY KEY,         -- own key; configured order may change
  path     TEXT NOT NULL UNIQUE,        -- absolute
  segments INTEGER NOT NULL DEFAULT 0,  -- rows in segment; kept by the triggers below
  bytes    INTEGER NOT NULL DEFAULT 0   -- sum of segment.bytes; kept by the triggers below
) STRICT;

-- A stream under a folder name. A camera that changes its channel gets a second row.
CREATE TABLE stream (
  stream_id          INTEGER PRIMARY KEY,
  camera             TEXT NOT NULL,                                  -- camera id
  kind               TEXT NOT NULL CHECK (kind IN ('main', 'sub')),
  channel            INTEGER NOT NULL,                               -- 1 to 9999
  name               TEXT NOT NULL,                                  -- folder below a root
  longest_segment_ms INTEGER NOT NULL DEFAULT 0,                     -- longest closed segment ever: how far before a range a search begins
  longest_run_ms     INTEGER NOT NULL DEFAULT 0,                     -- the same for ended runs
  longest_gap_ms     INTEGER NOT NULL DEFAULT 0,                     -- the same for closed gaps
  UNIQUE (camera, kind, name)
) STRICT;
CREATE INDEX stream_by_name ON stream (name);

-- A continuous stretch of media from one connection. Goes with its last segment.
CREATE TABLE run (
  run_id        INTEGER PRIMARY KEY,
  uuid          TEXT NOT NULL UNIQUE,                               -- the run outside this database
  stream_id     INTEGER NOT NULL REFERENCES stream,
  start_utc_ms  INTEGER NOT NULL,
  start_mono_ms INTEGER NOT NULL,                                   -- CLOCK_MONOTONIC of the boot it was recorded in, milliseconds
  clock_trusted INTEGER NOT NULL CHECK (clock_trusted IN (0, 1)),   -- 0: the box did not know the time when the run began
  end_utc_ms    INTEGER,                                            -- end of its last media; null while it goes on
  end_cause     TEXT                                                -- why it ended; null while it goes on
) STRICT;
CREATE INDEX run_by_time ON run (stream_id, start_utc_ms);
CREATE INDEX run_going_on ON run (stream_id) WHERE end_utc_ms IS NULL;

CREATE TABLE segment (
  run_id       INTEGER NOT NULL REFERENCES run,
  sequence     INTEGER NOT NULL,                               -- counts the run's segments from 0
  stream_id    INTEGER NOT NULL REFERENCES stream,             -- as in run; here for the index
  root_id      INTEGER NOT NULL REFERENCES root,
  state        INTEGER NOT NULL CHECK (state IN (0, 1, 2)),    -- 0 open, 1 closed, 2 deleting
  start_utc_ms INTEGER NOT NULL,
  end_utc_ms   INTEGER NOT NULL,                               -- equals the start while open
  bytes        INTEGER NOT NULL,                               -- file size with seal; 0 while open
  file         TEXT NOT NULL,                                  -- path below <root>/<name>/
  crc64        BLOB CHECK (length(crc64) = 8),                 -- CRC-64/XZ of all bytes before the seal; null while open
  blake3       BLOB CHECK (length(blake3) = 32),               -- BLAKE3 of the same bytes; null while open
  PRIMARY KEY (run_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_by_time ON segment (stream_id, start_utc_ms);
CREATE INDEX segment_oldest ON segment (root_id, start_utc_ms) WHERE state = 1;
CREATE INDEX segment_unsettled ON segment (state, stream_id) WHERE state <> 1;

CREATE TRIGGER segment_added AFTER INSERT ON segment BEGIN
  UPDATE root SET segments = segments + 1, bytes = bytes + NEW.bytes WHERE root_id = NEW.root_id;
END;
CREATE TRIGGER segment_resized AFTER UPDATE OF bytes ON segment WHEN NEW.bytes <> OLD.bytes BEGIN
  UPDATE root SET bytes = bytes + NEW.bytes - OLD.bytes WHERE root_id = NEW.root_id;
END;
CREATE TRIGGER segment_removed AFTER DELETE ON segment BEGIN
  UPDATE root SET segments = segments - 1, bytes = bytes - OLD.bytes WHERE root_id = OLD.root_id;
END;

-- Time of a stream that no segment covers, and why.
CREATE TABLE gap (
  gap_id      INTEGER PRIMARY KEY,
  stream_id   INTEGER NOT NULL REFERENCES stream,
  from_utc_ms INTEGER NOT NULL,
  to_utc_ms   INTEGER,                             -- null while it goes on
  cause       TEXT NOT NULL,                       -- one of GAP_CAUSES
  detail      TEXT                                 -- one sentence for people, at most 500 characters
) STRICT;
CREATE INDEX gap_by_time ON gap (stream_id, from_utc_ms);
CREATE UNIQUE INDEX gap_going_on ON gap (stream_id) WHERE to_utc_ms IS NULL;

-- What each hour of a stream holds, for overviews of months. Outlives the segments.
CREATE TABLE coverage_hour (
  stream_id INTEGER NOT NULL REFERENCES stream,
  hour      INTEGER NOT NULL,                              -- whole UTC hours since 1970
  minutes   BLOB NOT NULL CHECK (length(minutes) = 8),     -- bit m % 8 of byte m / 8: closed segments hold media of minute m
  removed   BLOB NOT NULL CHECK (length(removed) = 8),     -- the same for media that was deleted by rule
  bytes     INTEGER NOT NULL,                              -- of closed segments, shared out by time
  PRIMARY KEY (stream_id, hour)
) STRICT, WITHOUT ROWID;
`;

const STATE_1 = `
-- The one desired-state document.
CREATE TABLE desired (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  revision       INTEGER NOT NULL,                    -- grows by one with each change
  cameras        TEXT NOT NULL,                       -- JSON array of DesiredCamera
  changed_utc_ms INTEGER NOT NULL
) STRICT;
INSERT INTO desired VALUES (1, 0, '[]', 0);

-- Camera passwords, beside the document so that it can be shown and sent.
CREATE TABLE secret (
  camera   TEXT PRIMARY KEY,   -- camera id
  password TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the next process must know about this one.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,   -- boot-id: /proc/sys/kernel/random/boot_id of the last start
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;

const CATALOG_2 = `
-- Roots are told apart by the identity on their disk; path is where that disk was seen last.
ALTER TABLE root ADD COLUMN uuid TEXT;                              -- as in the root's marker file; null: not seen since there are markers
CREATE UNIQUE INDEX root_by_uuid ON root (uuid);

ALTER TABLE run ADD COLUMN boot TEXT;                               -- /proc/sys/kernel/random/boot_id it was recorded in; null: only its files speak
ALTER TABLE run ADD COLUMN shift_ms INTEGER NOT NULL DEFAULT 0;     -- by how much later than its files say its times are, milliseconds; rows are shifted already

ALTER TABLE segment ADD COLUMN damage TEXT;                         -- one sentence on what is wrong with the file's bytes; null: nothing known

-- Media that was recorded and deleted by rule. Neighbours of one rule are one row, so that a ring adds none. Outlives the segments.
CREATE TABLE deletion (
  stream_id   INTEGER NOT NULL REFERENCES stream,
  from_utc_ms INTEGER NOT NULL,
  to_utc_ms   INTEGER NOT NULL,
  rule        TEXT NOT NULL,                                        -- limit, reserve, age, command
  PRIMARY KEY (stream_id, from_utc_ms)
) STRICT, WITHOUT ROWID;

DROP TABLE coverage_hour;
-- What each hour of a stream holds now, for overviews of months.
CREATE TABLE coverage_hour (
  stream_id   INTEGER NOT NULL REFERENCES stream,
  hour        INTEGER NOT NULL,                                     -- whole UTC hours since 1970
  minutes     BLOB NOT NULL CHECK (length(minutes) = 8),            -- bit m % 8 of byte m / 8: closed segments hold media of minute m
  recorded_ms INTEGER NOT NULL,                                     -- time that closed segments cover, 0 to 3,600,000
  bytes       INTEGER NOT NULL,                                     -- of closed segments, shared out by time
  PRIMARY KEY (stream_id, hour)
) STRICT, WITHOUT ROWID;

-- What the next process must know about this catalog.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;

const STATE_2 = `
-- The configured roots as they were seen last. It tells a mount that is missing from a root that never had one.
CREATE TABLE root (
  path        TEXT PRIMARY KEY,   -- as configured, absolute
  uuid        TEXT NOT NULL,      -- of the root that was open there last, as in its marker file
  mount_point TEXT NOT NULL       -- where its file system began: path, or a folder above it
) STRICT, WITHOUT ROWID;
`;

const CATALOG_3 = `
-- Files on their way to another name: their run's clock was wrong. A row is there from before the rename until the segment's row says it.
CREATE TABLE renaming (
  run_id   INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  sequence INTEGER NOT NULL,                                        -- as in segment
  file     TEXT NOT NULL,                                           -- the new path below <root>/<name>/
  PRIMARY KEY (run_id, sequence)
) STRICT, WITHOUT ROWID;
`;

const CATALOG_4 = `
CREATE INDEX segment_damaged ON segment (root_id) WHERE damage IS NOT NULL;
`;

export const CATALOG_MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: CATALOG_1 },
  { version: 2, sql: CATALOG_2 },
  { version: 3, sql: CATALOG_3 },
  { version: 4, sql: CATALOG_4 },
];
export const STATE_MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: STATE_1 },
  { version: 2, sql: STATE_2 },
];
