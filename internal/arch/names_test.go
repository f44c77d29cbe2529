package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documentedShare is the share of exported names that have a comment, in per
// cent.
const documentedShare = 95

// TestExportedNamesAreDocumented checks the checked-out tree.
func TestExportedNamesAreDocumented(t *testing.T) {
	sources, err := load(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	total, bare := exportedNames(sources)
	t.Logf("%d exported names, %d without a comment", total, len(bare))
	if len(bare)*100 > total*(100-documentedShare) {
		t.Errorf("%d of %d exported names have no comment, more than %d %%", len(bare), total, 100-documentedShare)
	}
	for _, name := range bare {
		t.Log(name)
	}
}

// TestBareNamesAreFound shows that the check bites.
func TestBareNamesAreFound(t *testing.T) {
	root := t.TempDir()
	text := `// Package p is a test.
package p

// Told is told.
func Told() {}

func Bare() {}

func hidden() {}

// T is told.
type T struct {
	A, B int
}

func (t *T) Method() {}

func (t *t) Unreachable() {}

type t struct{ Inside int }

// Kinds share a comment.
const (
	One = 1
	Two = 2
)

const Lone = 3

var (
	Group = 4
	inner = 5
)

// I is told.
type I interface {
	// M is told.
	M()
	N()
}
`
	if err := os.WriteFile(filepath.Join(root, "p.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "p_test.go"), []byte("package p\n\nfunc Helper() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sources, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	total, bare := exportedNames(sources)
	got := strings.Join(bare, "; ")
	const want = "p.go:7: Bare; p.go:16: T.Method; p.go:28: Lone; p.go:31: Group; p.go:39: I.N"
	if got != want || total != 11 {
		t.Errorf("of %d names are bare %q, want %q", total, got, want)
	}
}

// exportedNames counts the exported names of files that are no tests, and
// names those without a comment of their own or of their group. Fields do not
// count: the comment of their type may say all there is to say.
func exportedNames(sources []source) (total int, bare []string) {
	for _, s := range sources {
		if s.test {
			continue
		}
		count := func(at token.Pos, name string, documented bool) {
			total++
			if !documented {
				bare = append(bare, fmt.Sprintf("%s:%d: %s", s.file, s.set.Position(at).Line, name))
			}
		}
		for _, d := range s.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if name, ok := functionName(d); ok {
					count(d.Pos(), name, d.Doc != nil)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					specNames(d, spec, count)
				}
			}
		}
	}
	return total, bare
}

// functionName returns the name of a function or method that other rooms can
// call.
func functionName(d *ast.FuncDecl) (string, bool) {
	if d.Recv == nil {
		return d.Name.Name, d.Name.IsExported()
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	switch x := receiver.(type) {
	case *ast.IndexExpr:
		receiver = x.X
	case *ast.IndexListExpr:
		receiver = x.X
	}
	id, ok := receiver.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name + "." + d.Name.Name, id.IsExported() && d.Name.IsExported()
}

// specNames counts the names of one constant, variable or type with what it
// holds.
func specNames(group *ast.GenDecl, spec ast.Spec, count func(token.Pos, string, bool)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() {
				count(n.Pos(), n.Name, group.Doc != nil || spec.Doc != nil || spec.Comment != nil)
			}
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		count(spec.Pos(), spec.Name.Name, group.Doc != nil || spec.Doc != nil || spec.Comment != nil)
		x, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return
		}
		for _, f := range x.Methods.List {
			for _, n := range f.Names {
				if n.IsExported() {
					count(n.Pos(), spec.Name.Name+"."+n.Name, f.Doc != nil || f.Comment != nil)
				}
			}
		}
	}
}
