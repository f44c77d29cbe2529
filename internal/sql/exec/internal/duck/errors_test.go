package duck_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/source"
)

// TestFaults: what DuckDB refuses has a code and a sentence of ours, and what no
// user can cause is internal and says nothing.
func TestFaults(t *testing.T) {
	e := duck.New(duck.Options{Memory: 32 << 20})
	defer e.Close()
	in := sequence(3, func(int) string { return "secret" })
	for _, c := range []struct {
		text string
		code fault.Code
	}{
		{"SELECT c0 + 9223372036854775807 FROM kscan(0)", fault.OutOfRange},
		{"SELECT (c0 + 300)::UTINYINT::BIGINT FROM kscan(0)", fault.InvalidValue},
		{"SELECT c1::BIGINT FROM kscan(0)", fault.InvalidValue},
		{"SELECT (SELECT c0 FROM kscan(0))", fault.InvalidOperation},
		{"SELECT len(list(repeat(c1, 10000000))) FROM kscan(0)", fault.LimitExceeded},
		{"SELECT " + strings.Repeat("(1+", 300) + "1" + strings.Repeat(")", 300), fault.LimitExceeded},
		{"SELECT " + strings.Repeat("(SELECT c0 + ", 13) + "1" + strings.Repeat(" FROM kscan(0) LIMIT 1)", 13), fault.LimitExceeded},
		{"SELECT count(*) FROM kscan(0) x" + strings.Repeat(" JOIN kscan(0) USING (c0)", 64), fault.LimitExceeded},
		{"SELECT " + strings.Repeat("(1+", 5000) + "1" + strings.Repeat(")", 5000), fault.LimitExceeded},
		{"SELECT nothing FROM kscan(0)", fault.Internal},
		{"SELECT 'secret' FORM kscan(0)", fault.Internal},
		{"", fault.Internal},
		{"SELECT 1::BIGINT; SELECT 2::BIGINT", fault.Internal},
		{"SELECT 1::BIGINT, 2", fault.Internal},
		{"SELECT 'secret'", fault.Internal},
		{"SELECT $1::BIGINT", fault.Internal},
		{"SELECT c0 FROM kscan(1)", fault.Internal},
		{"SELECT c0 FROM kscan(-1)", fault.Internal},
		{"SELECT kfn_bigint(0, 1)", fault.Internal},
		{"SELECT kfn_bigint()", fault.Internal},
		{"CREATE TABLE x (i INT)", fault.Internal},
	} {
		_, err := query(t.Context(), e, &duck.Statement{Text: c.text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}})
		if err == nil || fault.CodeOf(err) != c.code {
			t.Errorf("%.70s: %v", c.text, err)
			continue
		}
		if of := fault.Of(err); strings.Contains(of.Sentence(), "secret") || strings.Contains(err.Error(), "LINE") || of.Detail != "" {
			t.Errorf("%.70s tells %q", c.text, err)
		}
	}
	if n := in.open.Load(); n != 0 {
		t.Errorf("%d scans are open", n)
	}
	idle(t, e)
}

// TestCallErrors: the fault of a called function comes back as it is, a panic
// ends the statement only, and a fault while folding a constant that is never
// used is none.
func TestCallErrors(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(5000, func(int) string { return "" })
	mine := fault.New(fault.DivisionByZero, "7 was divided by 0")
	call := duck.Call{Result: bigint, Args: []datum.Type{bigint}, New: func() func([]datum.Value) (datum.Value, error) {
		return func(args []datum.Value) (datum.Value, error) {
			switch args[0].Int() {
			case 7, 4000:
				return datum.Value{}, mine
			case 8:
				panic("broken")
			case 9:
				return datum.Value{}, io.ErrUnexpectedEOF
			}
			return args[0], nil
		}
	}}
	volatile := call
	volatile.Volatile = true
	run := func(text string) ([][]datum.Value, error) {
		return query(t.Context(), e, &duck.Statement{Text: text, Scans: []duck.Scan{in.scan()}, Calls: []duck.Call{call, volatile}, Columns: []datum.Type{bigint}})
	}
	for _, text := range []string{
		"SELECT kfn_bigint(0, c0) FROM kscan(0)",
		"SELECT kfn_bigint(0, c0) FROM kscan(0) WHERE c0 > 3000",
		"SELECT sum(kfn_bigint(0, c0))::BIGINT FROM kscan(0)",
		"SELECT kfn_bigint(0, 7::BIGINT)",
		"SELECT c0 FROM kscan(0) WHERE kfn_bigint(0, 7::BIGINT) = c0",
	} {
		if _, err := run(text); err != mine {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := run("SELECT kfn_bigint(0, 8::BIGINT)"); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "panic") || strings.Contains(fault.Of(err).Sentence(), "broken") {
		t.Error(err)
	}
	if _, err := run("SELECT kfn_bigint(0, c0 + 9) FROM kscan(0)"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for _, text := range []string{
		"SELECT CASE WHEN c0 < 0 THEN kfn_bigint(0, 7::BIGINT) ELSE c0 END FROM kscan(0)",
		"SELECT kfn_bigint(0, c0) FROM kscan(0) WHERE c0 < 7",
	} {
		if got, err := run(text); err != nil || len(got) == 0 {
			t.Errorf("%s: %d rows, %v", text, len(got), err)
		}
	}
	// The right function for a call is told by its form, and so is volatility.
	for _, text := range []string{"SELECT kvf_bigint(0, c0) FROM kscan(0)", "SELECT kfn_bigint(1, c0) FROM kscan(0)", "SELECT kfn_integer(0, c0)::BIGINT FROM kscan(0)",
		"SELECT kfn_bigint(c0, c0) FROM kscan(0)", "SELECT kfn_bigint(0, c1) FROM kscan(0)", "SELECT kfn_bigint(0, c0, c0) FROM kscan(0)"} {
		if _, err := run(text); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", text, err)
		}
	}
	idle(t, e)
}

// TestVolatile: a volatile function is called for each row, another with
// constant arguments is called once.
func TestVolatile(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(1000, func(int) string { return "" })
	n := int64(0)
	call := duck.Call{Result: bigint, New: func() func([]datum.Value) (datum.Value, error) {
		return func([]datum.Value) (datum.Value, error) {
			n++
			return datum.NewInt(datum.BigInt, n), nil
		}
	}}
	volatile := call
	volatile.Volatile = true
	got, err := query(t.Context(), e, &duck.Statement{
		Text:  "SELECT count(DISTINCT kvf_bigint(1)), count(DISTINCT kfn_bigint(0)) FROM kscan(0)",
		Scans: []duck.Scan{in.scan()}, Calls: []duck.Call{call, volatile}, Columns: []datum.Type{bigint, bigint},
	})
	if err != nil || got[0][0].Int() != 1000 || got[0][1].Int() != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// failing is a table that fails where it is told to.
type failing struct {
	open, next error
	panics     bool
	closed     int
}

func (f *failing) scan() duck.Scan {
	return duck.Scan{Types: []datum.Type{bigint}, Positions: []int{0}, Open: func(context.Context) (source.Rows, error) {
		return f, f.open
	}}
}

func (f *failing) Next(context.Context) (*source.Batch, error) {
	if f.panics {
		panic("broken")
	}
	return nil, f.next
}

func (f *failing) Close() { f.closed++ }

// TestScanErrors: the error of a scan comes back as it is, and the scan is closed.
func TestScanErrors(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	mine := fault.New(fault.Conflict, "the view is gone")
	run := func(f *failing) error {
		_, err := query(t.Context(), e, &duck.Statement{Text: "SELECT sum(c0)::BIGINT FROM kscan(0)", Scans: []duck.Scan{f.scan()}, Columns: []datum.Type{bigint}})
		return err
	}
	if err := run(&failing{open: mine}); err != mine {
		t.Error(err)
	}
	f := &failing{next: mine}
	if err := run(f); err != mine || f.closed == 0 {
		t.Errorf("%v, closed %d times", err, f.closed)
	}
	f = &failing{panics: true}
	if err := run(f); !fault.Is(err, fault.Internal) || f.closed == 0 {
		t.Errorf("%v, closed %d times", err, f.closed)
	}
	bad := &table{types: []datum.Type{text}, rows: [][]datum.Value{{datum.NewText("\xff")}}}
	if _, err := query(t.Context(), e, &duck.Statement{Text: "SELECT c0 FROM kscan(0)", Scans: []duck.Scan{bad.scan()}, Columns: []datum.Type{text}}); !fault.Is(err, fault.InvalidValue) {
		t.Error(err)
	}
	if _, err := query(t.Context(), e, &duck.Statement{Text: "SELECT $1::VARCHAR", Params: []datum.Value{datum.NewText("\xff")}, Columns: []datum.Type{text}}); !fault.Is(err, fault.InvalidValue) {
		t.Error(err)
	}
	idle(t, e)
}
