// Package faults plants faults into the product, to show that the torture runs
// notice them.
//
// A fault is a file of text that says which pieces of which sources are
// replaced by what. The sources themselves stay as they are: Overlay writes the
// changed ones elsewhere, and a JSON file that go build and go test take with
// -overlay.
//
// A file begins with lines "what: …", "class: …" and "runs: …", and then holds
// a part for each change (txtar): its name is the path of the source, its text
// the old piece, a line "=======" and the new one. The old piece must occur
// exactly once, so that a fault which has lost its place says so.
//
// Goroutines: none. Locks: none.
package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Fault is one planted fault.
type Fault struct {
	// Name is that of its file.
	Name string
	// What says what the database does wrong.
	What string
	// Classes are those of which the checker must name at least one.
	Classes []string
	// Runs are the runs that can see it: "memory", "kill".
	Runs []string

	changes []change
}

type change struct{ path, old, new string }

// divider stands between the old and the new piece.
const divider = "=======\n"

// Load reads all faults of a directory, in the order of their names.
func Load(dir string) ([]Fault, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []Fault
	for _, path := range paths {
		f, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("read fault %s: %w", path, err)
		}
		all = append(all, f)
	}
	return all, nil
}

func read(path string) (Fault, error) {
	f := Fault{Name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(archive.Comment)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "what":
			f.What = value
		case "class":
			f.Classes = strings.Fields(value)
		case "runs":
			f.Runs = strings.Fields(value)
		case "":
		default:
			return f, fmt.Errorf("unknown line %q", line)
		}
	}
	for _, part := range archive.Files {
		old, replacement, ok := strings.Cut(string(part.Data), divider)
		if !ok {
			return f, fmt.Errorf("%s has no line %q", part.Name, strings.TrimSpace(divider))
		}
		f.changes = append(f.changes, change{part.Name, old, replacement})
	}
	if f.What == "" || len(f.Classes) == 0 || len(f.Runs) == 0 || len(f.changes) == 0 {
		return f, fmt.Errorf("what, class, runs or the changes are missing")
	}
	return f, nil
}

// Seen reports whether a run can see the fault.
func (f Fault) Seen(run string) bool { return slices.Contains(f.Runs, run) }

// Overlay writes the changed sources of the module in root to temp and returns
// the path of the file for -overlay.
func (f Fault) Overlay(root, temp string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, c := range f.changes {
		path := filepath.Join(root, filepath.FromSlash(c.path))
		text, ok := texts[path]
		if !ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("plant %s: %w", f.Name, err)
			}
			text = string(data)
		}
		if n := strings.Count(text, c.old); n != 1 {
			return "", fmt.Errorf("plant %s: the piece of %s to replace occurs %d times, not once; the source has changed:\n%s", f.Name, c.path, n, c.old)
		}
		texts[path] = strings.Replace(text, c.old, c.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		changed := filepath.Join(temp, fmt.Sprintf("%s-%d-%s", f.Name, len(replace), filepath.Base(path)))
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("plant %s: %w", f.Name, err)
		}
		replace[path] = changed
	}
	data, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("plant %s: %w", f.Name, err)
	}
	overlay := filepath.Join(temp, f.Name+".json")
	if err := os.WriteFile(overlay, data, 0o644); err != nil {
		return "", fmt.Errorf("plant %s: %w", f.Name, err)
	}
	return overlay, nil
}
