package arch

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pagesWithTests are the pages in which each row of a table whose last column
// is headed "test" must name tests that exist.
var pagesWithTests = []string{"docs/architecture.md", "docs/compat.md", "docs/format/README.md", "docs/protocol/live.md"}

// TestDocuments checks what the pages claim: every test they name exists, and
// every page that a file of the repository names exists.
func TestDocuments(t *testing.T) {
	root := moduleRoot(t)
	sources, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	known := knownTests(root, sources)
	for _, page := range pagesWithTests {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Error(err)
			continue
		}
		rows, faults := checkTestTables(page, string(text), known)
		if rows == 0 {
			t.Errorf("%s has no table with tests", page)
		}
		for _, f := range faults {
			t.Error(f)
		}
	}
	faults, err := checkPages(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// TestDocumentFaults shows that the checks bite.
func TestDocumentFaults(t *testing.T) {
	known := func(name string) bool { return name == "core.TestThere" || name == "there.slt" }
	f := func(row, want string) {
		t.Helper()
		_, faults := checkTestTables("page", "| what | test |\n|---|---|\n"+row+"\n", known)
		if got := strings.Join(faults, "; "); got != want {
			t.Errorf("%s: %q, want %q", row, got, want)
		}
	}
	f("| a | `core.TestThere`, `there.slt` |", "")
	f("| a | `core.TestNot` |", "page:3: there is no test core.TestNot")
	f("| a | `there.slt`, `not.slt` |", "page:3: there is no test not.slt")
	f("| a | later |", "page:3: the row names no test")
	f("| a | `b \\| c` |", "page:3: there is no test b \\| c")
	if rows, faults := checkTestTables("page", "| test | what |\n|---|---|\n| x | y |\n", known); rows != 0 || faults != nil {
		t.Errorf("a table without the column: %d rows, %q", rows, faults)
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"docs/a.md": "see `b.md`, `docs/b.md` and docs/c.md\n", "docs/b.md": "", "x.go": "// as docs/a.md and no.md say\n",
	} {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	faults, err := checkPages(root)
	want := []string{"docs/a.md:1: there is no page docs/c.md", "x.go:1: there is no page no.md"}
	if err != nil || !slices.Equal(faults, want) {
		t.Errorf("%q, %v; want %q", faults, err, want)
	}
}

// knownTests answers whether a page may name a test: a script of test/logic, a
// dialogue or script by its file name, room.TestName for a function, or
// room.TestName/file for a function that runs a file of its room's testdata.
func knownTests(root string, sources []source) func(string) bool {
	functions := map[string]bool{}
	for _, s := range sources {
		if !s.test {
			continue
		}
		for _, name := range testFunctions(s) {
			functions[s.room+"."+name] = true
		}
	}
	return func(name string) bool {
		switch path.Ext(name) {
		case ".slt", ".txtar":
			for _, dir := range []string{"test/logic", "test/protocol", "test/e2e/testdata"} {
				if exists(filepath.Join(root, dir, name)) {
					return true
				}
			}
			return false
		}
		if functions[name] {
			return true
		}
		room, sub := path.Dir(name), path.Base(name)
		for ; room != "."; room, sub = path.Dir(room), path.Base(room)+"/"+sub {
			if functions[room] {
				return subtest(root, room[:strings.LastIndexByte(room, '.')], sub)
			}
		}
		return false
	}
}

// subtest finds a file of a room's testdata by its name or the end of its path.
func subtest(root, room, name string) bool {
	for _, dir := range []string{filepath.Join("internal", room), room} {
		found := false
		_ = filepath.WalkDir(filepath.Join(root, dir, "testdata"), func(file string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				slash := filepath.ToSlash(file)
				found = found || strings.HasSuffix(strings.TrimSuffix(slash, path.Ext(slash)), "/"+name)
			}
			return nil // a room without testdata has no such file
		})
		if found {
			return true
		}
	}
	return false
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func testFunctions(s source) []string {
	var names []string
	for _, d := range s.syntax.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz") || strings.HasPrefix(f.Name.Name, "Benchmark")) {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// quoted finds what stands between backquotes.
var quoted = regexp.MustCompile("`([^`]+)`")

// checkTestTables checks the last cells of the tables whose last column is
// headed "test", and counts their rows.
func checkTestTables(page, text string, known func(string) bool) (rows int, faults []string) {
	inside := false
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case last == "test":
			inside = true
			continue
		case !inside || strings.HasPrefix(line, "|--"):
			continue
		}
		rows++
		if j := strings.LastIndex(line, " | "); j >= 0 { // a bar inside backquotes is no border
			last = line[j:]
		}
		names := quoted.FindAllStringSubmatch(last, -1)
		if len(names) == 0 {
			faults = append(faults, fmt.Sprintf("%s:%d: the row names no test", page, i+1))
		}
		for _, n := range names {
			if !known(n[1]) {
				faults = append(faults, fmt.Sprintf("%s:%d: there is no test %s", page, i+1, n[1]))
			}
		}
	}
	return rows, faults
}

// pageName finds names of pages.
var pageName = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_]\.md\b`)

// elsewhere are names that stand for files outside of the repository, or for
// ones that a room may have.
var elsewhere = []string{"DESIGN.md"}

// checkPages looks for names of pages in pages, Go files, scripts and settings.
// A name is one from the root, or from the folder of the file that has it.
func checkPages(root string) ([]string, error) {
	var faults []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); name == "bin" || name == "data" || (strings.HasPrefix(name, ".") && file != root) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".md", ".go", ".slt", ".toml", ".txtar"}, path.Ext(rel)) || rel == "internal/arch/docs_test.go" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, name := range pageName.FindAllString(line, -1) {
				if slices.Contains(elsewhere, path.Base(name)) || path.IsAbs(name) ||
					exists(filepath.Join(root, name)) || exists(filepath.Join(filepath.Dir(file), name)) {
					continue
				}
				faults = append(faults, fmt.Sprintf("%s:%d: there is no page %s", rel, i+1, name))
			}
		}
		return nil
	})
	return faults, err
}
