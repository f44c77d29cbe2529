package duck_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
)

// TestFolders: a statement reads files of its folders, and none beside them; an
// instance that may read a folder refuses texts that name a file all the same.
func TestFolders(t *testing.T) {
	base := t.TempDir()
	one, two := filepath.Join(base, "one"), filepath.Join(base, "two's")
	other := filepath.Join(one, "other.parquet")
	for _, dir := range []string{one, two} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		copyFile(t, "testdata/three.parquet", filepath.Join(dir, "three.parquet"))
	}
	copyFile(t, "testdata/three.parquet", other)
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(3, func(int) string { return "hot" })
	run := func(text string, files ...duck.Files) ([][]datum.Value, error) {
		return query(t.Context(), e, &duck.Statement{Text: text, Scans: []duck.Scan{in.scan()}, Files: files, Columns: []datum.Type{bigint}})
	}
	in1 := func(folders []string, paths ...string) duck.Files {
		return duck.Files{Folders: folders, Paths: paths, Columns: []duck.FileColumn{{ID: 1, Type: bigint}, {ID: 9, Type: text}}}
	}
	const sum = "SELECT sum(c0 * 100 + file_index * 10 + file_row_number)::BIGINT FROM kfiles(0) AS f WHERE c1 IS NULL"
	for _, c := range []struct {
		text  string
		files duck.Files
		want  int64 // -1 for a refusal
		opens int64
	}{
		{"SELECT count(*) FROM kscan(0)", duck.Files{}, 3, 1},
		{sum, in1([]string{one}, other), 603, 2},
		{sum, in1([]string{two}, filepath.Join(two, "three.parquet")), 603, 3},
		{sum, in1([]string{one, two}, other, filepath.Join(two, "three.parquet")), 1236, 3},
		{sum, in1([]string{one}, filepath.Join(two, "three.parquet")), -1, 3},
		{sum, in1([]string{one}, filepath.Join(one, "*.parquet")), -1, 3},
		{sum, in1([]string{one}, one+"/../two's/three.parquet"), -1, 3},
		{sum, in1([]string{one}, filepath.Join(one, "absent.parquet")), -1, 3},
		{"SELECT count(*) FROM kfiles(1)", in1([]string{one}, other), -1, 3},
		{"SELECT count(*) FROM kscan(0) WHERE c1 <> 'kfiles(1)'", in1([]string{one}, other), 3, 3},
	} {
		rows, err := run(c.text, c.files)
		switch {
		case c.want < 0:
			if !fault.Is(err, fault.Internal) {
				t.Errorf("%s of %v: %v %v", c.text, c.files, rows, err)
			}
		case err != nil || rows[0][0].Int() != c.want:
			t.Errorf("%s of %v: %v %v, want %d", c.text, c.files, rows, err, c.want)
		}
		if s := e.Stats(); s.Opened != c.opens {
			t.Errorf("after %s of %v: opened %d times, want %d", c.text, c.files, s.Opened, c.opens)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(refusedTexts), "\n") {
		text := strings.NewReplacer("%f", other, "%d", one, "%s", one).Replace(line)
		if rows, err := run(text); !fault.Is(err, fault.Internal) {
			t.Errorf("%s beside readable folders: %v %v", text, rows, err)
		}
	}
	if got, err := os.ReadDir(one); err != nil || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	if s := e.Stats(); s.Opened != 3 {
		t.Errorf("%+v", s)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	bytes, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, bytes, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
