package core

import (
	"sync/atomic"
	"time"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// SlowStatement is a SELECT, INSERT, UPDATE or DELETE that took long.
type SlowStatement struct {
	ID        string
	RequestID string
	End       time.Time
	Took      time.Duration
	User      schema.UserID
	Kind      string // select, insert, update, delete
	Path      string // row or analytic
	TableType string // "" where several tables or none are read
	Table     string // qualified; "" likewise
	Rows      int64  // handed out or changed
	Query     string // without its values
}

// slowLog hands slow statements on.
type slowLog struct {
	from  time.Duration // 0 for none
	write func(SlowStatement)
	told  *atomic.Int64
}

func newSlowLog(from time.Duration, write func(SlowStatement)) slowLog {
	if write == nil {
		from = 0
	}
	return slowLog{from: from, write: write, told: new(atomic.Int64)}
}

// of reports whether a statement belongs into the log.
func (l *slowLog) of(k statementKind, took time.Duration) bool {
	return l.from > 0 && took >= l.from && k != kindOther
}

func (l *slowLog) tell(x *statement, k statementKind, took time.Duration) {
	l.told.Add(1)
	s := SlowStatement{
		ID: x.id(), RequestID: x.session.RequestID, End: x.all.now(), Took: took, User: x.session.UserID,
		Kind: k.String(), Path: "row", Rows: x.rows, Query: parse.Redact(x.text),
	}
	if x.analytic {
		s.Path = "analytic"
	}
	if t := x.plan.Load().only(); t != nil {
		s.TableType, s.Table = t.Kind.String(), t.QualifiedName()
	}
	l.write(s)
}

// only returns the one table that a plan reads or writes, or nil.
func (p *prepared) only() *schema.Table {
	if t := p.table(); t != nil {
		return t
	}
	if p.analytic == nil {
		return nil
	}
	if tables := p.analytic.Plan().Tables; len(tables) == 1 {
		return tables[0]
	}
	return nil
}
