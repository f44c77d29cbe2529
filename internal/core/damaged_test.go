package core_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
)

// TestDamagedColdFiles: a file that is cut short, foreign or empty gives an
// error that names it, on both paths and by key; other files and tables go on
// being read, and what does not need the file too.
func TestDamagedColdFiles(t *testing.T) {
	damages := map[string]func(t *testing.T, path string){
		"cut short": func(t *testing.T, path string) {
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
		},
		"foreign": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, []byte("PAR1"+strings.Repeat("x", int(info.Size())-8)+"PAR1"))
		},
		"empty": func(t *testing.T, path string) { writeFile(t, path, nil) },
	}
	for name, damage := range damages {
		for _, always := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, always analytic %v", name, always), func(t *testing.T) {
				dir := t.TempDir()
				tier := cold.New(cold.Options{DataDir: dir})
				t.Cleanup(func() { _ = tier.Close() })
				db := openDB(t, func(o *core.Options) { o.Cold, o.Analytics.Always, o.Analytics.FileRows = tier, always, 1 })
				mustRun(t, db, root, "CREATE NAMESPACE d; CREATE SHARED TABLE d.t (id BIGINT PRIMARY KEY, v INT); CREATE SHARED TABLE d.u (id BIGINT PRIMARY KEY, v INT)")
				for i := range 2 {
					mustRun(t, db, root, fmt.Sprintf("INSERT INTO d.t VALUES (%d, %d); INSERT INTO d.u VALUES (%d, 1)", i, i, i))
					for _, table := range []string{"t", "u"} {
						if _, err := db.Flush(t.Context(), "d", table); err != nil {
							t.Fatal(err)
						}
					}
				}
				files, err := filepath.Glob(filepath.Join(dir, "storage", "d", "t", "batch-0.parquet"))
				if err != nil || len(files) != 1 {
					t.Fatal(files, err)
				}
				damage(t, files[0])
				for _, sql := range []string{"SELECT v FROM d.t WHERE id = 0", "SELECT SUM(v) FROM d.t", "SELECT v FROM d.t ORDER BY id", "SELECT v FROM d.t ORDER BY _seq DESC", "SELECT a.v FROM d.t a JOIN d.u b ON a.id = b.id"} {
					_, err := say(t, converse(t, db), sql)
					if err == nil || !strings.Contains(err.Error(), "d/t/batch-0.parquet") {
						t.Errorf("%s: %v", sql, err)
					}
				}
				for sql, want := range map[string]int{
					"SELECT v FROM d.t WHERE id = 1": 1, "SELECT v FROM d.t WHERE v = 1": 1, "SELECT id FROM d.u ORDER BY id": 2,
				} {
					if got := rowsOf(t, db, "root", sql); len(got) != want {
						t.Errorf("%s: %v", sql, got)
					}
				}
				if !always { // the row path knows how many there are
					if got := rowsOf(t, db, "root", "SELECT COUNT(*) FROM d.t"); len(got) != 1 || got[0] != "2" {
						t.Errorf("COUNT(*): %v", got)
					}
				}
			})
		}
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
