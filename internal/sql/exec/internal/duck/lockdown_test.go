package duck_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
)

// refusedTexts are what must not run, whoever writes it: %f is a file and %d the
// directory that it is in, %s the spill directory of the instance.
const refusedTexts = `
SELECT count(*) FROM read_csv('%f')
SELECT count(*) FROM READ_TEXT('%f')
SELECT count(*) FROM "read_blob"('%f')
SELECT count(*) FROM read_json ('%f')
SELECT count(*) FROM main.read_parquet('%f')
SELECT count(*) FROM parquet_metadata('%f')
SELECT count(*) FROM '%f'
SELECT count(*) FROM '%d/other.parquet'
SELECT count(*) FROM '/proc/self/environ'
SELECT count(*) FROM 'https://example.com/x.csv'
SELECT count(*) FROM "%f"
SELECT count(*) FROM kscan(0) t, '%d/other.parquet'
SELECT count(*) FROM kscan(0) t JOIN '%d/other.parquet' u ON true
SELECT count(*) FROM kscan(0) t JOIN kscan(0) u ON true, "%d/other.parquet"
SELECT count(*) FROM (SELECT 1) t CROSS JOIN LATERAL "%d/other.parquet"
SELECT (SELECT count(*) FROM "%d/other.parquet" WHERE true)
SELECT 1 UNION ALL SELECT count(*) FROM '%d/other.parquet'
FROM '%d/other.parquet' SELECT count(*)
SELECT count(*) FROM memory.main."%d/other.parquet"
SELECT count(*) FROM kfiles(0)
SELECT count(*) FROM kfiles(-1)
SELECT count(*) FROM kfiles('%d/other.parquet')
SELECT count(*) FROM kfiles (0)
SELECT count(*) FROM glob('%d/*')
SELECT count(*) FROM read_text('%s/*')
SELECT count(*) FROM sniff_csv('%f')
COPY (SELECT 1) TO '%d/new.csv'
COPY (SELECT 1) TO '%s/new.csv'
ATTACH '%d/new.db'
ATTACH ':memory:' AS m
EXPORT DATABASE '%d/new'
IMPORT DATABASE '%d/new'
INSTALL httpfs
LOAD httpfs
LOAD '%f'
SHOW TABLES
PRAGMA database_list
PRAGMA enable_profiling
PRAGMA disable_optimizer
PRAGMA verify_external
SET threads = 2
SET memory_limit = '1GB'
SET VARIABLE x = 1
SET schema = 'main'
RESET threads
USE memory
CHECKPOINT
CREATE TABLE x (i INT)
CREATE TEMP TABLE x AS SELECT 1
CREATE VIEW x AS SELECT 1
CREATE MACRO lower(x) AS 'mine'
CREATE TYPE x AS INT
CREATE SECRET (TYPE s3)
DROP TABLE x
INSERT INTO x VALUES (1)
UPDATE x SET i = 1
DELETE FROM x
EXPLAIN SELECT 1
CALL enable_logging()
BEGIN
PREPARE p AS SELECT 1
EXECUTE p
VACUUM
PIVOT (SELECT 1 a) ON a
FROM enable_logging(storage = 'file', storage_path = '%d/log')
SELECT count(*) FROM enable_logging(level = 'trace')
SELECT count(*) FROM enable_profiling(save_location = '%d/profile')
SELECT count(*) FROM disable_logging()
SELECT count(*) FROM duckdb_logs()
SELECT write_log('x')
SELECT getenv('HOME')
SELECT count(*) FROM query('SELECT 1')
SELECT count(*) FROM query_table('x')
SELECT count(*) FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT count(*) FROM duckdb_settings()
SELECT count(*) FROM duckdb_temporary_files()
SELECT count(*) FROM pragma_database_list()
SELECT current_setting('temp_directory')
SELECT count(*) FROM pg_timezone_names()
SELECT pg_sleep(1)
SELECT sleep_ms(1)
SELECT current_query()
SELECT 1 -- FROM kscan(0)
SELECT 1 /* FROM kscan(0) */
SELECT E'\''
SELECT $$text$$
SELECT 'unfinished
`

// harmlessTexts are what a SELECT can still reach: names and settings of the
// library, and no row of anybody.
const harmlessTexts = `
SELECT count(*) FROM duckdb_logs
SELECT count(*) FROM information_schema.tables
SELECT count(*) FROM pg_catalog.pg_class
SELECT count(*) FROM sqlite_master
SELECT count(*) FROM pragma_database_list
SELECT txid_current()::BIGINT
SELECT count(*) FROM (SELECT version(), json_serialize_sql('SELECT 1'), setseed(0.5))
SELECT length('query(''SELECT 1'')') "glob"
SELECT count(*) FROM kscan(0) t WHERE c1 IS DISTINCT FROM 'x' AND c1 IN ('a', 'b')
SELECT count(*) FROM kscan(0) t JOIN kscan(0) u ON t.c1 IS NOT DISTINCT FROM 'kfiles(0)' AND t.c1 = 'a'
`

// TestLockdown: what would reach beyond the statement is refused, even if it got
// into a text, and leaves the instance as it was.
func TestLockdown(t *testing.T) {
	dir := t.TempDir()
	file, spill := filepath.Join(dir, "outside.csv"), filepath.Join(dir, "spill")
	if err := os.WriteFile(file, []byte("a\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := duck.New(duck.Options{TempDir: spill})
	defer e.Close()
	in := sequence(3, func(int) string { return "secret" })
	run := func(text string) error {
		_, err := query(t.Context(), e, &duck.Statement{Text: text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}})
		return err
	}
	fill := strings.NewReplacer("%f", file, "%d", dir, "%s", filepath.Join(spill, "instance-0"))
	check := func(texts string, refused bool) {
		for _, text := range strings.Split(strings.TrimSpace(texts), "\n") {
			err := run(fill.Replace(text))
			if refused && !fault.Is(err, fault.Internal) || !refused && err != nil && !strings.Contains(err.Error(), "number of columns") {
				t.Errorf("%s: %v", text, err)
			}
			if err := run("SELECT count(*) FROM kscan(0) WHERE lower(c1) = 'secret'"); err != nil {
				t.Errorf("after %s: %v", text, err)
			}
		}
	}
	check(refusedTexts, true)
	check(harmlessTexts, false)
	if s := e.Stats(); s.Opened != 1 {
		t.Errorf("%+v", s)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() && path != file {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
