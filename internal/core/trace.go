package core

import (
	"context"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// Tracer hears of statements, of the commits that they wait for, and of jobs. It
// is called by the goroutines that run them and must not block. What it returns
// as context is that of the work, so spans within find the one around them.
type Tracer interface {
	// Statement begins a statement; a nil span means that nobody wants to hear
	// of its end.
	Statement(ctx context.Context) (context.Context, StatementSpan)
	// Commit begins the wait for a commit; nil as above.
	Commit(ctx context.Context) Span
	// Job begins a job of a type, such as flush or index_build; nil as above.
	Job(ctx context.Context, kind, id string) (context.Context, Span)
}

// Span is work that has begun. End is called once; a nil error is success.
type Span interface{ End(err error) }

// StatementSpan is a statement that has begun. End is called once.
type StatementSpan interface{ End(t StatementTrace) }

// StatementTrace is what a trace says of a statement: nothing that it was given
// and nothing that it read.
type StatementTrace struct {
	ID    string
	Kind  string // select, insert, update, delete, other; subscribe
	Path  string // row or analytic
	Table string // qualified; "" where several tables or none are read
	Rows  int64  // handed out or changed
	Query string // without its values
	Fault fault.Code
}

// trace says what a trace may say of a statement that has ended.
func (x *statement) trace(kind statementKind, err error) StatementTrace {
	t := StatementTrace{ID: x.id(), Kind: kind.String(), Path: "row", Rows: x.rows, Query: parse.Redact(x.text)}
	if x.analytic {
		t.Path = "analytic"
	}
	if p := x.plan.Load(); p != nil {
		if table := p.only(); table != nil {
			t.Table = table.QualifiedName()
		}
	}
	if err != nil {
		t.Fault = fault.CodeOf(err)
	}
	return t
}

// traced is a Committer whose waits are spans.
type traced struct {
	command.Committer
	tracer Tracer
}

// Commit commits c.
func (t traced) Commit(ctx context.Context, c *command.Command) (command.Receipt, error) {
	span := t.tracer.Commit(ctx)
	receipt, err := t.Committer.Commit(ctx, c)
	if span != nil {
		span.End(err)
	}
	return receipt, err
}

// committer returns what rooms propose to.
func (o *Options) committer(local command.Committer) command.Committer {
	if o.Tracer == nil {
		return local
	}
	return traced{local, o.Tracer}
}

// traceJob is the tracer as the runner of jobs knows it, or nil.
func (o *Options) traceJob() func(ctx context.Context, kind, id string) (context.Context, func(error)) {
	if o.Tracer == nil {
		return nil
	}
	return func(ctx context.Context, kind, id string) (context.Context, func(error)) {
		ctx, span := o.Tracer.Job(ctx, kind, id)
		if span == nil {
			return ctx, func(error) {}
		}
		return ctx, span.End
	}
}
