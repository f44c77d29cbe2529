package faults_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/test/torture/faults"
)

// TestOverlay plants a fault into a tree of one file.
func TestOverlay(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(root, "a.go"), "package a\n\nvar x = 1\n")
	write(filepath.Join(dir, "wrong.txt"), "what: x is wrong\nclass: lost gap\nruns: memory\n-- a.go --\nvar x = 1\n=======\nvar x = 2\n")
	all, err := faults.Load(dir)
	if err != nil || len(all) != 1 || all[0].Name != "wrong" || len(all[0].Classes) != 2 || !all[0].Seen("memory") || all[0].Seen("kill") {
		t.Fatalf("loaded %+v, %v", all, err)
	}
	temp := t.TempDir()
	overlay, err := all[0].Overlay(root, temp)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(overlay)
	if err != nil || !strings.Contains(string(data), filepath.Join(root, "a.go")) {
		t.Errorf("overlay %s, %v", data, err)
	}
	changed, err := os.ReadFile(filepath.Join(temp, "wrong-0-a.go"))
	if err != nil || string(changed) != "package a\n\nvar x = 2\n" {
		t.Errorf("changed source %q, %v", changed, err)
	}
	write(filepath.Join(root, "a.go"), "package a\n\nvar y = 1\n")
	if _, err := all[0].Overlay(root, temp); err == nil || !strings.Contains(err.Error(), "occurs 0 times") {
		t.Errorf("a fault without its place: %v", err)
	}
}

// TestFaultsFindTheirPlace plants every fault of the tree.
func TestFaultsFindTheirPlace(t *testing.T) {
	all, err := faults.Load("../testdata/faults")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 7 {
		t.Errorf("%d faults, at least 7 are to be planted", len(all))
	}
	for _, f := range all {
		if _, err := f.Overlay("../../..", t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}
