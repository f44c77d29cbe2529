package arch

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

var unused = flag.Bool("unused", false, "print arrows that no import uses")

const (
	fileLines     = 800 // no file is longer
	functionLines = 70  // what a function should end by
	functionMost  = 150 // what none may exceed
	longShare     = 2   // per cent of functions that may be longer than 70 lines
	firstOfRule   = "```arrows"
)

// homes names the one room where a heavyweight dependency may be imported.
// Test files are held to the same homes, except for the text-driven tools.
var homes = map[string][]string{
	"github.com/cockroachdb/pebble":    {"store/internal/engine"},
	"github.com/duckdb":                {"sql/exec/internal/duck"},
	"github.com/pganalyze/pg_query_go": {"sql/parse"},
	"github.com/parquet-go":            {"cold/internal/parquet"},
	"github.com/apache/arrow-go":       {"cold/internal/parquet"},
	"github.com/apache/iceberg-go":     {"cold/internal/iceberg"},
	"gocloud.dev":                      {"cold/internal/objstore"},
	"github.com/aws":                   {"cold/internal/objstore"},
	"github.com/Azure":                 {"cold/internal/objstore"},
	"google.golang.org/api":            {"cold/internal/objstore"},
	"github.com/valyala/fasthttp":      {"api"},
	"github.com/gobwas/ws":             {"api", "sdk/go"},
	"github.com/tinylib/msgp":          {"api"},
	"github.com/golang-jwt/jwt":        {"auth"},
	"golang.org/x/crypto":              {"auth"},
	"github.com/pelletier/go-toml":     {"config"},
	"github.com/prometheus":            {"server"},
	"go.opentelemetry.io":              {"server"},
	"github.com/spf13/cobra":           {"cli"},
	"gopkg.in/natefinch/lumberjack.v2": {"server"},
}

// testHomes adds rooms whose tests need a dependency: those of the edge forge
// tokens.
var testHomes = map[string][]string{
	"github.com/golang-jwt/jwt": {"api"},
}

// source is one Go file of the module.
type source struct {
	room    string // path below internal/, or cmd/x, test/x, sdk/go …
	file    string // path from the root
	test    bool
	lines   int
	syntax  *ast.File
	set     *token.FileSet
	imports []string
}

// TestRules checks the checked-out tree.
func TestRules(t *testing.T) {
	root := moduleRoot(t)
	sources, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	arrows, err := readArrows(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	faults = append(faults, checkArrows(sources, arrows)...)
	faults = append(faults, checkHomes(sources)...)
	faults = append(faults, checkLengths(sources)...)
	faults = append(faults, checkDocs(sources)...)
	for _, f := range faults {
		t.Error(f)
	}
	if *unused {
		for _, line := range unusedArrows(sources, arrows) {
			fmt.Println(line)
		}
	}
}

// TestForbiddenImportFails shows that the rules bite: a room of core that
// imports the engine is a fault, and so are a missing package doc, a long file
// and a dependency away from home.
func TestForbiddenImportFails(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module kalamdb\n")
	write("internal/core/core.go", "// Package core is a test.\npackage core\n\nimport _ \"kalamdb/internal/store/internal/engine\"\n")
	write("internal/core/pebble.go", "package core\n\nimport _ \"github.com/cockroachdb/pebble/v2\"\n")
	write("internal/fault/fault.go", "package fault\n")
	write("internal/core/long.go", "package core\n"+strings.Repeat("\n", fileLines))
	write("internal/core/function.go", "package core\n\nfunc long() {\n"+strings.Repeat("\t_ = 0\n", functionMost)+"}\n")
	sources, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	arrows := map[string][]string{"core": {"fault", "store"}, "fault": nil}
	f := func(faults []string, want string) {
		t.Helper()
		if !strings.Contains(strings.Join(faults, "\n"), want) {
			t.Errorf("no fault says %q; got %q", want, faults)
		}
	}
	f(checkArrows(sources, arrows), "core imports store/internal/engine")
	f(checkHomes(sources), "github.com/cockroachdb/pebble/v2")
	f(checkDocs(sources), "package fault has no doc comment")
	f(checkLengths(sources), "long.go")
	f(checkLengths(sources), "function long")
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the test")
	return ""
}

// load parses every Go file below root but those of bench peers and testdata.
func load(root string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "node_modules" || (strings.HasPrefix(name, ".") && file != root) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		s, err := parse(file, filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	return all, err
}

func parse(file, rel string) (source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return source{}, err
	}
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, rel, text, parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	s := source{
		room:   strings.TrimPrefix(path.Dir(rel), "internal/"),
		file:   rel,
		test:   strings.HasSuffix(rel, "_test.go"),
		lines:  strings.Count(string(text), "\n"),
		syntax: syntax,
		set:    set,
	}
	for _, i := range syntax.Imports {
		s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
	}
	return s, nil
}

// readArrows reads the lines `room : room room` of the arrows block.
func readArrows(file string) (map[string][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	arrows := map[string][]string{}
	inside := false
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		switch {
		case line == firstOfRule:
			inside = true
		case inside && strings.HasPrefix(line, "```"):
			return arrows, scanner.Err()
		case inside && line != "":
			room, to, ok := strings.Cut(line, ":")
			if !ok {
				return nil, fmt.Errorf("line %q of the arrows has no colon", line)
			}
			arrows[strings.TrimSpace(room)] = strings.Fields(to)
		}
	}
	return nil, errors.Join(errors.New("no arrows block in "+file), scanner.Err())
}

// target returns the room that an import path names, or "".
func target(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, "kalamdb/")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(rest, "internal/")
}

// allowed finds the arrows of a room; patterns such as cmd/* cover many.
func allowed(arrows map[string][]string, room string) ([]string, bool) {
	if to, ok := arrows[room]; ok {
		return to, true
	}
	for dir := path.Dir(room); dir != "."; dir = path.Dir(dir) {
		if to, ok := arrows[dir+"/*"]; ok {
			return to, true
		}
		if to, ok := arrows[dir]; ok && (dir == "bench" || dir == "examples" || dir == "sdk/go") {
			return to, true
		}
	}
	return nil, false
}

func matches(pattern, room string) bool {
	if pattern == "*" || pattern == room {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, "/*")
	return ok && strings.HasPrefix(room, prefix+"/") && !strings.Contains(room[len(prefix)+1:], "internal/")
}

func checkArrows(sources []source, arrows map[string][]string) []string {
	var faults []string
	for _, s := range sources {
		if s.room == "arch" || strings.HasPrefix(s.room, "test/") {
			continue
		}
		to, known := allowed(arrows, s.room)
		if !known {
			faults = append(faults, fmt.Sprintf("%s: room %s has no line in the arrows of docs/architecture.md", s.file, s.room))
			continue
		}
		for _, i := range s.imports {
			room := target(i)
			if room == "" || room == s.room {
				continue
			}
			if !arrowAllowed(s, to, room) {
				faults = append(faults, fmt.Sprintf("%s: %s imports %s, and no arrow in docs/architecture.md allows it", s.file, s.room, room))
			}
		}
	}
	return faults
}

// arrowAllowed lets test files use testkit and the whole of what they test, but
// never the engine.
func arrowAllowed(s source, to []string, room string) bool {
	for _, pattern := range to {
		if matches(pattern, room) {
			return true
		}
	}
	if !s.test {
		return false
	}
	engine := strings.HasPrefix(room, "store/internal/")
	return !engine || strings.HasPrefix(s.room, "store")
}

func checkHomes(sources []source) []string {
	var faults []string
	for _, s := range sources {
		for _, i := range s.imports {
			for library, rooms := range homes {
				if i != library && !strings.HasPrefix(i, library+"/") {
					continue
				}
				if s.test {
					rooms = append(slices.Clone(rooms), testHomes[library]...)
				}
				if !atHome(s, rooms) {
					faults = append(faults, fmt.Sprintf("%s: %s is at home in %s only", s.file, i, strings.Join(rooms, ", ")))
				}
			}
		}
	}
	return faults
}

func atHome(s source, rooms []string) bool {
	if strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
		return true
	}
	for _, room := range rooms {
		if s.room == room || strings.HasPrefix(s.room, room+"/") {
			return true
		}
	}
	return s.test && strings.HasPrefix(s.room, "test/")
}

func checkLengths(sources []source) []string {
	var faults, long []string
	functions := 0
	for _, s := range sources {
		if s.lines > fileLines {
			faults = append(faults, fmt.Sprintf("%s has %d lines, more than %d", s.file, s.lines, fileLines))
		}
		if s.test {
			continue
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			functions++
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if lines > functionMost {
				faults = append(faults, fmt.Sprintf("%s: function %s has %d lines, more than %d", s.file, f.Name.Name, lines, functionMost))
			}
			if lines > functionLines {
				long = append(long, fmt.Sprintf("%s: %s (%d)", s.file, f.Name.Name, lines))
			}
		}
	}
	if functions > 100 && len(long)*100 > functions*longShare {
		sort.Strings(long)
		faults = append(faults, fmt.Sprintf("%d of %d functions are longer than %d lines, more than %d %%:\n  %s",
			len(long), functions, functionLines, longShare, strings.Join(long, "\n  ")))
	}
	return faults
}

func checkDocs(sources []source) []string {
	documented := map[string]int{}
	var order []string
	for _, s := range sources {
		if s.test {
			continue
		}
		dir := path.Dir(s.file)
		if _, seen := documented[dir]; !seen {
			documented[dir] = 0
			order = append(order, dir)
		}
		if s.syntax.Doc != nil {
			documented[dir]++
		}
	}
	var faults []string
	for _, dir := range order {
		switch documented[dir] {
		case 0:
			faults = append(faults, fmt.Sprintf("%s: package %s has no doc comment", dir, path.Base(dir)))
		case 1:
		default:
			faults = append(faults, fmt.Sprintf("%s: package %s has %d doc comments", dir, path.Base(dir), documented[dir]))
		}
	}
	return faults
}

func unusedArrows(sources []source, arrows map[string][]string) []string {
	used := map[string]bool{}
	rooms := map[string]bool{}
	for _, s := range sources {
		rooms[s.room] = true
		for _, i := range s.imports {
			if room := target(i); room != "" && !s.test {
				used[s.room+" "+room] = true
			}
		}
	}
	var lines []string
	for room, to := range arrows {
		for _, pattern := range to {
			if rooms[room] && !strings.Contains(pattern, "*") && !used[room+" "+pattern] {
				lines = append(lines, fmt.Sprintf("unused: %s : %s", room, pattern))
			}
		}
	}
	sort.Strings(lines)
	return lines
}
