package fault_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/fault"
)

// TestCodes pins what the doors know of every code.
func TestCodes(t *testing.T) {
	datadriven.RunTest(t, "testdata/codes", func(*testing.T, *datadriven.TestData) string {
		codes := fault.Codes()
		slices.Sort(codes)
		var out strings.Builder
		for _, c := range codes {
			i := c.Info()
			fmt.Fprintf(&out, "%-28s %s shown=%-5v %q\n", c, i.SQLState, i.Shown, i.Prefix)
		}
		return out.String()
	})
}

// TestEveryCodeHasInfo: each constant of the source is listed once and has a
// SQLSTATE; a prefix ends in a way that a sentence can follow.
func TestEveryCodeHasInfo(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := fault.Codes()
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !slices.Contains(listed, fault.Code(text)) {
			t.Errorf("%s has no Info", text)
		}
		return false
	})
	if found != len(listed) || found < 40 {
		t.Errorf("%d constants, %d codes with Info", found, len(listed))
	}
	for _, c := range listed {
		i := c.Info()
		if len(i.SQLState) != 5 || strings.Trim(i.SQLState, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Errorf("%s has the SQLSTATE %q", c, i.SQLState)
		}
		if i.Prefix != "" && !strings.HasSuffix(i.Prefix, ": ") {
			t.Errorf("%s has the prefix %q", c, i.Prefix)
		}
	}
	if got := fault.Code("NEVER_HEARD").Info(); got != fault.Internal.Info() || got.Shown {
		t.Errorf("an unknown code has %+v", got)
	}
}

// TestChains: the first fault of a chain gives code and sentence, causes stay
// for errors.Is, and an error without a fault is INTERNAL and says nothing.
func TestChains(t *testing.T) {
	f := func(err error, code fault.Code, sentence, text string) {
		t.Helper()
		of := fault.Of(err)
		if got := fault.CodeOf(err); got != code || of.Code != code || !fault.Is(err, code) {
			t.Errorf("%v: code %s, of %s, want %s", err, got, of.Code, code)
		}
		if of.Sentence() != sentence {
			t.Errorf("sentence %q, want %q", of.Sentence(), sentence)
		}
		if err.Error() != text {
			t.Errorf("text %q, want %q", err, text)
		}
	}
	missing := fault.New(fault.TableNotFound, "table %s does not exist", "a.b")
	f(missing, fault.TableNotFound, "Table not found: table a.b does not exist", "Table not found: table a.b does not exist")
	f(fmt.Errorf("run plan: %w", missing), fault.TableNotFound, "Table not found: table a.b does not exist", "run plan: Table not found: table a.b does not exist")

	wrapped := fault.Wrap(fault.Conflict, missing, "send it again")
	f(wrapped, fault.Conflict, "Conflict: send it again", "Conflict: send it again: Table not found: table a.b does not exist")
	if !errors.Is(wrapped, missing) || !errors.Is(fault.Wrap(fault.Timeout, context.DeadlineExceeded, "x"), context.DeadlineExceeded) {
		t.Error("Wrap has lost its cause")
	}
	f(errors.Join(io.EOF, missing), fault.TableNotFound, "Table not found: table a.b does not exist", "EOF\nTable not found: table a.b does not exist")

	f(io.ErrUnexpectedEOF, fault.Internal, "an internal error occurred", "unexpected EOF")
	if of := fault.Of(io.ErrUnexpectedEOF); !errors.Is(of, io.ErrUnexpectedEOF) || of.Offset != -1 {
		t.Errorf("Of keeps %+v", of)
	}
	if fault.Is(nil, fault.Internal) {
		t.Error("no error is INTERNAL")
	}
	if at := fault.Of(fault.At(fault.Syntax, 7, "near %q", "FORM")); at.Offset != 7 || at.Sentence() != `Invalid SQL: near "FORM"` {
		t.Errorf("At gives %+v", at)
	}
	if of := fault.Of(missing); of.Offset != -1 || of.Statement != 0 {
		t.Errorf("New gives %+v", of)
	}
}

// TestInStatement: the place in the batch comes first, the text is kept for
// administrators, and the fault of the statement itself is left as it was.
func TestInStatement(t *testing.T) {
	inner := fault.Wrap(fault.DuplicateKey, io.EOF, "value '%d' already exists in column 'id'", 7)
	err := fault.InStatement(fmt.Errorf("apply: %w", inner), 2, "INSERT INTO t VALUES (7)")
	of := fault.Of(err)
	if want := "Statement 2 failed: Primary key violation: value '7' already exists in column 'id'"; of.Sentence() != want || of.Code != fault.DuplicateKey {
		t.Errorf("%s %q, want %q", of.Code, of.Sentence(), want)
	}
	if of.Detail != "INSERT INTO t VALUES (7)" || of.Statement != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("%+v", of)
	}
	if was := fault.Of(inner); was.Statement != 0 || was.Detail != "" {
		t.Errorf("the fault of the statement was changed: %+v", was)
	}
	if of := fault.Of(fault.InStatement(io.EOF, 3, "SELECT 1")); of.Code != fault.Internal || of.Sentence() != "Statement 3 failed: an internal error occurred" || !errors.Is(of, io.EOF) {
		t.Errorf("%+v", of)
	}
}

// TestAssert: a broken invariant panics with its sentence, a kept one does not.
func TestAssert(t *testing.T) {
	fault.Assert(true, "never")
	defer func() {
		if got := recover(); got != "broken invariant: 2 is not 3" {
			t.Errorf("Assert panicked with %v", got)
		}
	}()
	fault.Assert(2 == 3, "%d is not %d", 2, 3)
}
