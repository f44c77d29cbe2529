package ddl_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/fault"
)

// TestConstraintsBesideWriters: SET NOT NULL and ADD CHECK beside writers of
// rows that break them either fail and leave the table as it was, or hold for
// every row that is there.
func TestConstraintsBesideWriters(t *testing.T) {
	b := open(t, nil)
	defer b.close()
	root := session("root:system")
	must := func(sql string) string {
		t.Helper()
		text, err := b.exec(root, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return text
	}
	must("CREATE NAMESPACE app")
	refused, held := 0, 0
	for round := range 20 {
		name := fmt.Sprintf("app.t%d", round)
		must("CREATE TABLE " + name + " (id INT PRIMARY KEY, v INT)")
		must("INSERT INTO " + name + " VALUES (0, 0), (-1, 1)")
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 5 {
					value := "NULL"
					if (i+w)%2 == 0 || round%2 == 0 {
						value = "-1"
					}
					_, err := b.exec(root, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", name, 1+w*10+i, value))
					if err != nil && !fault.Is(err, fault.NotNull) && !fault.Is(err, fault.CheckFailed) {
						t.Errorf("insert: %v", err)
					}
				}
			})
		}
		change, broken := " ALTER COLUMN v SET NOT NULL", "v IS NULL"
		if round%2 == 0 {
			change, broken = " ADD CONSTRAINT positive CHECK (v >= 0)", "v < 0"
		}
		_, err := b.exec(root, "ALTER TABLE "+name+change)
		writers.Wait()
		if err != nil && !fault.Is(err, fault.NotNull) && !fault.Is(err, fault.CheckFailed) {
			t.Fatalf("alter: %v", err)
		}
		if n := must("SELECT COUNT(*) FROM " + name + " WHERE " + broken); err == nil && n != "0" {
			t.Fatalf("the constraint holds, but %s rows break it", n)
		}
		_, again := b.exec(root, "INSERT INTO "+name+" VALUES (99, "+map[bool]string{true: "-1", false: "NULL"}[round%2 == 0]+")")
		if (again == nil) != (err != nil) {
			t.Fatalf("the statement said %v, a row that breaks the constraint says %v", err, again)
		}
		if err != nil {
			refused++
		} else {
			held++
		}
	}
	t.Logf("refused %d times, held %d times", refused, held)
}

// TestSequenceBesideWriters: numbers of a SERIAL column are drawn once each,
// whoever writes.
func TestSequenceBesideWriters(t *testing.T) {
	b := open(t, nil)
	defer b.close()
	root := session("root:system")
	for _, sql := range []string{"CREATE NAMESPACE app", "CREATE TABLE app.t (id SERIAL PRIMARY KEY, v INT)"} {
		if _, err := b.exec(root, sql); err != nil {
			t.Fatal(err)
		}
	}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 20 {
				if _, err := b.exec(root, "INSERT INTO app.t (v) VALUES (1), (2), (3)"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	got, err := b.exec(root, "SELECT COUNT(*), COUNT(DISTINCT id), MIN(id) FROM app.t")
	if err != nil || !strings.HasPrefix(got, "480 480 1") {
		t.Errorf("the rows are %s, %v", got, err)
	}
}
