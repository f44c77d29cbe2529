package core_test

import (
	"context"
	"fmt"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
)

// TestNothingIsLeftOpen: statements that fail in any stage, results that are not
// read to their end, and callers who go away leave neither view nor iterator
// behind; the end of the database would find them.
func TestNothingIsLeftOpen(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, `CREATE NAMESPACE l; CREATE SHARED TABLE l.t (id BIGINT PRIMARY KEY, v INT, w TEXT);
		CREATE TABLE l.s (id BIGINT, v INT) WITH (TYPE='STREAM', TTL_SECONDS=60)`)
	for i := range 3000 {
		if i%500 == 0 && i > 0 && i < 2500 {
			if _, err := db.Flush(t.Context(), "l", "t"); err != nil {
				t.Fatal(err)
			}
		}
		if i%100 == 0 {
			rows := ""
			for j := range 100 {
				rows += fmt.Sprintf(",(%d, %d, 'w%d')", i+j, (i+j)%1500, i+j)
			}
			mustRun(t, db, root, "INSERT INTO l.t VALUES "+rows[1:])
			mustRun(t, db, root, fmt.Sprintf("INSERT INTO l.s VALUES (%d, %d)", i, i%1500))
		}
	}
	mustRun(t, db, root, "DELETE FROM l.t WHERE id % 7 = 3; UPDATE l.t SET w = 'new' WHERE id % 5 = 1")
	statements := []string{
		"SELECT * FROM l.t", "SELECT * FROM l.t ORDER BY id", "SELECT * FROM l.t ORDER BY _seq DESC", "SELECT * FROM l.t ORDER BY w",
		"SELECT * FROM l.t WHERE id IN (1, 700, 2900)", "SELECT * FROM l.t WHERE id > 100 AND id < 2000 ORDER BY id LIMIT 3",
		"SELECT 1 / (v - 700) FROM l.t", "SELECT * FROM l.t WHERE 1 / (v - 700) > 5", "SELECT * FROM l.t WHERE 1 / (v - 700) > -5 ORDER BY id",
		"SELECT * FROM l.t ORDER BY 1 / (v - 700)", "SELECT v, COUNT(*) FROM l.t GROUP BY v", "SELECT SUM(1 / (v - 700)) FROM l.t",
		"SELECT v FROM l.t GROUP BY v HAVING 1 / (v - 700) > 0", "SELECT DISTINCT v FROM l.t", "SELECT DISTINCT 1 / (v - 700) FROM l.t",
		"SELECT CAST(w AS INT) FROM l.t", "SELECT * FROM l.s", "SELECT 1 / (v - 700) FROM l.s ORDER BY id", "SELECT COUNT(*) FROM l.t",
		"SELECT * FROM system.jobs", "SELECT 1 / (schema_version - 1) FROM system.schemas", "SHOW TABLES", "DESCRIBE l.t", "SHOW STATS FOR TABLE l.t",
		"UPDATE l.t SET v = 1 / (v - 700)", "DELETE FROM l.t WHERE 1 / (v - 700) > 5", "UPDATE l.t SET w = NULL WHERE id = 1", "SELECT * FROM l.t LIMIT 0",
		"SELECT * FROM l.t; SELECT 1 / (v - 700) FROM l.t", "SELECT * FROM l.t; SELECT * FROM l.nothing", "EXPLAIN SELECT * FROM l.t",
	}
	for _, sql := range statements {
		for batches := range 3 { // read so many batches, then go away
			for _, gone := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				results, err := db.Execute(ctx, root, core.Request{SQL: sql})
				if gone {
					cancel()
				}
				if err == nil {
					for _, r := range results {
						var rows [][]datum.Value
						for range batches {
							if rows, err = r.Next(ctx); err != nil || rows == nil {
								break
							}
						}
						r.Close()
						r.Close()
					}
				}
				cancel()
				early, stop := context.WithCancel(t.Context())
				stop()
				if results, err := db.Execute(early, root, core.Request{SQL: sql}); err == nil {
					for _, r := range results {
						r.Close()
					}
				}
			}
		}
	}
	// Whatever is held now is the hub's or maintenance's, for a moment.
	for db.Stats().Apply.Views > 1 {
		mustRun(t, db, root, "INSERT INTO l.s VALUES (1, 1)")
	}
}
