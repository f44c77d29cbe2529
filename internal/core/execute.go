package core

import (
	"context"
	"errors"
	"strings"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
)

// attempts is how often a statement is run again when a row or a definition
// that it read has changed before it was applied.
const attempts = 10

// Request is the SQL of one caller.
type Request struct {
	// SQL is one or more statements divided by semicolons.
	SQL string
	// Params are $1, $2, …; only with exactly one statement.
	Params []datum.Value
	// Namespace is where unqualified names are looked up; "" is default.
	Namespace string
	// Gone reports whether the caller has gone away, so that nobody waits for an
	// answer; his statement is given up then. It is asked from another goroutine,
	// and may be once more after the results were closed. nil means never.
	Gone func() bool
	// Upload are the files that came with the request; nil when it has no place
	// for them. It is the caller's, who closes it when the results are closed.
	Upload *Upload
}

// Execute runs the statements of a request in order and returns a result for
// each. It stops at the first failure; what earlier statements committed
// stays. The results must be closed. Errors are faults.
func (db *DB) Execute(ctx context.Context, s *auth.Session, r Request) ([]*Result, error) {
	select {
	case <-db.ready:
	case <-ctx.Done():
		return nil, asFault(ctx.Err(), db.o.Limits)
	}
	db.stats.statements.Add(1)
	namespace := strings.ToLower(r.Namespace)
	if namespace == "" {
		namespace = schema.DefaultNamespace
	}
	c := Conversation{db: db, session: s, origin: originBatch, variables: newVariables(path(namespace)), backend: db.statements.backend(), gone: r.Gone, began: time.Now(), upload: r.Upload}
	defer c.Close() // after a panic too
	results, err := c.leave(c.execute(ctx, r.SQL, r.Params))
	if err != nil {
		db.stats.failures.Add(1)
		return nil, asFault(err, db.o.Limits)
	}
	return results, nil
}

func (c *Conversation) execute(ctx context.Context, sql string, params []datum.Value) ([]*Result, error) {
	results, err := c.statements(ctx, sql, params)
	if err != nil {
		c.db.heard(ctx, c.session, err)
	}
	return results, err
}

// statements runs a text as one statement or as a batch.
func (c *Conversation) statements(ctx context.Context, sql string, params []datum.Value) ([]*Result, error) {
	if limit := c.db.o.Limits.MaxSQLBytes; len(sql) > limit {
		return nil, fault.New(fault.Syntax, "SQL query too long: %d bytes (maximum %d bytes)", len(sql), limit)
	}
	if c.upload != nil {
		if err := c.upload.check(sql); err != nil {
			return nil, err
		}
	}
	if n, err := parse.Normalize(sql); err == nil && !n.Several && !n.Unterminated {
		result, err := c.run(ctx, n, params)
		if err != nil {
			return nil, err
		}
		return []*Result{result}, nil
	}
	return c.executeBatch(ctx, sql, params)
}

// executeBatch authorises the whole batch, then runs it.
func (c *Conversation) executeBatch(ctx context.Context, sql string, params []datum.Value) ([]*Result, error) {
	db := c.db
	pieces, err := parse.Split(sql)
	if err != nil {
		return nil, err
	}
	switch {
	case len(pieces) == 0:
		return nil, fault.New(fault.EmptySQL, "No SQL statements provided")
	case len(pieces) > db.o.Limits.MaxStatements:
		return nil, fault.New(fault.LimitExceeded, "a batch may have at most %d statements, this one has %d", db.o.Limits.MaxStatements, len(pieces))
	case len(pieces) > 1 && c.upload != nil && len(c.upload.keys) > 0:
		return nil, fault.New(fault.InvalidInput, "File uploads require a single SQL statement")
	case len(pieces) > 1 && len(params) > 0:
		return nil, fault.New(fault.ParamsWithBatch, "Parameters not supported with multi-statement batches")
	}
	if err := db.authoriseBatch(ctx, c.session, pieces, c.variables.copy()); err != nil {
		return nil, err
	}
	if len(pieces) > 1 {
		c.until = time.Now().Add(db.o.Limits.BatchTime)
		defer func() { c.until = time.Time{} }()
	}
	bytes := int64(0) // of buffered results
	results := make([]*Result, 0, len(pieces))
	for i, piece := range pieces {
		result, err := c.piece(ctx, piece.Text, params)
		if err == nil && len(pieces) > 1 {
			err = db.buffer(ctx, result, &bytes)
		}
		if err != nil {
			for _, done := range results {
				done.Close()
			}
			if len(pieces) > 1 {
				err = fault.InStatement(c.late(asFault(err, db.o.Limits)), i+1, piece.Text)
			}
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// late says of a statement that was ended with its batch what has ended it.
func (c *Conversation) late(err error) error {
	if !fault.Is(err, fault.Timeout) || time.Now().Before(c.until) {
		return err
	}
	return fault.Wrap(fault.Timeout, err, "the batch has run for longer than %s; send fewer statements at once or raise execution.batch_timeout_seconds",
		c.db.o.Limits.BatchTime)
}

// authoriseBatch walks the statements in order over an overlay of what they
// will have changed. Nothing runs before all of them may.
func (db *DB) authoriseBatch(ctx context.Context, s *auth.Session, pieces []parse.Piece, choices history) error {
	view := db.relations.View()
	defer view.Release()
	o := db.overlay(ctx, view, choices.now.path)
	o.choices = choices
	for i, piece := range pieces {
		stmt, _, err := o.known(piece.Text)
		if err == nil {
			err = authorise(s, stmt, o)
		}
		if err != nil {
			if len(pieces) > 1 {
				return fault.InStatement(err, i+1, piece.Text)
			}
			return err
		}
		o.note(stmt)
	}
	return nil
}

// piece runs one statement of a batch.
func (c *Conversation) piece(ctx context.Context, text string, params []datum.Value) (*Result, error) {
	n, err := parse.Normalize(text)
	if err != nil {
		return nil, err
	}
	return c.run(ctx, n, params)
}

// buffer reads a result of a batch into memory, so that later statements do
// not run while it holds a view, and counts it against the bound.
func (db *DB) buffer(ctx context.Context, r *Result, total *int64) error {
	if r.Kind != Rows || r.Buffered {
		return nil
	}
	defer r.Close()
	var rows [][]datum.Value
	for {
		batch, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		for _, row := range batch {
			*total += datum.RowSize(row)
			if *total > min(db.o.Limits.MaxResultBytes, db.o.Limits.MaxSortBytes) {
				return db.resultTooLarge()
			}
			rows = append(rows, append([]datum.Value(nil), row...))
		}
	}
	full := buffered(r.Columns, rows)
	full.AsUser, full.Message = r.AsUser, r.Message
	r.Close()
	*r = *full
	return nil
}

func (db *DB) resultTooLarge() error {
	return fault.New(fault.LimitExceeded, "the result is larger than %d bytes; ask for fewer rows or raise limits.max_result_bytes and memory.sorts",
		min(db.o.Limits.MaxResultBytes, db.o.Limits.MaxSortBytes))
}

// runOne runs a single statement: from its cached plan if there is one, and
// again when what it read has changed before it was applied.
func (db *DB) runOne(ctx context.Context, c *Conversation, n *parse.Normalized, params []datum.Value) (*Result, error) {
	if err := db.checkParams(params); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		result, err := db.attempt(ctx, c, n, params, attempt > 1)
		switch {
		case err == nil:
			if result.AsUser == "" { // EXECUTE AS has set its target
				result.AsUser = c.session.UserID
			}
			return result, nil
		case !stale(err):
			if attempt > 1 {
				err = db.settled(ctx, err)
			}
			return nil, err
		case attempt == attempts || c.tx != nil:
			return nil, fault.Wrap(fault.Conflict, err, "the rows are being changed by others; the statement may be sent again")
		}
		db.stats.conflicts.Add(1)
	}
}

// stale reports whether a statement met what others had changed meanwhile, and
// is to be run again.
func stale(err error) bool {
	return errors.Is(err, command.ErrStaleRow) || errors.Is(err, command.ErrStaleSchema)
}

// attempt runs a statement once. Writers work on the newest applied state,
// readers on the current durable one; a writer who met a newer definition is
// bound under the newest. In a transaction both work on its moment.
func (db *DB) attempt(ctx context.Context, c *Conversation, n *parse.Normalized, params []datum.Value, newest bool) (*Result, error) {
	s := c.session
	view := c.view(newest)
	in := c.variables.now().path.existing(view)
	keep := false
	defer func() {
		if !keep {
			view.Release()
		}
	}()
	p, err := db.prepare(ctx, n, params, view, in)
	if err != nil {
		return nil, db.rightsFirst(ctx, s, n, view, in, err)
	}
	if err := db.authorisePrepared(ctx, s, p, view, in); err != nil {
		return nil, err
	}
	c.running.plan.Store(p)
	if p.explicit > len(params) {
		return nil, fault.New(fault.InvalidParameter, "the statement names $%d, but %d parameter(s) were sent", p.explicit, len(params))
	}
	env := db.environment(s, n, params, p.explicit, in)
	env.Backend = c.backend
	env.Variables = &chosen{db: db, session: s, variables: c.variables}
	env.Sequence = &sequencer{db: db, session: s, path: in, drawn: c.numbers()}
	env.Objects = view.Catalog(caller(s, env))
	if c.tx != nil {
		env.Now = write.Clock(c.tx.began) // now() is the same in all of a transaction
		c.reads(p.statement)
	}
	if p.query != nil || p.analytic != nil {
		result, err := db.selects(ctx, s, p, view, env)
		keep = err == nil
		return result, err
	}
	return db.dispatch(ctx, c, p, view, env, in)
}

// prepare finds or makes the plan of a statement under the definitions of a
// view. A text with several statements is not for it.
func (db *DB) prepare(ctx context.Context, n *parse.Normalized, params []datum.Value, view *relation.View, in path) (*prepared, error) {
	key := planKey{in, n.Key}
	g := &given{params: params[:min(len(params), n.Params)]}
	p := db.plans.find(key, view.DefinitionsVersion())
	kinds := ""
	if p != nil && p.kinds != "" && p.kinds != g.String() {
		kinds = g.String() // a plan for other parameters is there
		p = db.plans.find(planKey{in, n.Key + kinds}, view.DefinitionsVersion())
	}
	if p != nil {
		return p, nil
	}
	release, err := db.parsing(ctx, n.Text)
	if err != nil {
		return nil, err
	}
	defer release()
	stmt, err := db.parser().ParseNormalized(n)
	if err != nil {
		return nil, err
	}
	p, err = db.bind(stmt, n.Params, g, view, in)
	if err != nil {
		return nil, err
	}
	if p.table() != nil || p.analytic != nil {
		// Parsing may have put literals back into the key.
		db.plans.keep(planKey{in, n.Key + kinds}, p)
	}
	return p, nil
}

// rightsFirst returns the fault of a statement that could not be bound, or the
// refusal of one that its caller may not run anyway: nobody learns by faults
// what the tables hold that are kept from him.
func (db *DB) rightsFirst(ctx context.Context, s *auth.Session, n *parse.Normalized, view *relation.View, in path, cause error) error {
	release, err := db.parsing(ctx, n.Text)
	if err != nil {
		return err
	}
	defer release()
	stmt, err := db.parser().ParseNormalized(n)
	if err != nil {
		return cause
	}
	if err := authorise(s, stmt, db.overlay(ctx, view, in)); err != nil {
		return err
	}
	return cause
}

// authorisePrepared is the check that each use of a plan makes. A plan over one
// table takes the short way: the same rule without walking the statement.
func (db *DB) authorisePrepared(ctx context.Context, s *auth.Session, p *prepared, view *relation.View, in path) error {
	if t := p.table(); t != nil {
		class, action := auth.Modify, auth.Write
		if p.query != nil {
			class, action = auth.Select, auth.Read
		}
		if err := auth.Allow(s, class, 0, ""); err != nil {
			return err
		}
		if err := allowTable(s, action, t); err != nil {
			return err
		}
		return authoriseReads(s, p)
	}
	if p.analytic != nil {
		return authoriseTree(s, p.analytic.Plan())
	}
	return authorise(s, p.statement, db.overlay(ctx, view, in))
}

// parser parses within the depth that the configuration allows.
func (db *DB) parser() parse.Options { return parse.Options{MaxDepth: db.o.Limits.MaxDepth} }

func (db *DB) checkParams(params []datum.Value) error {
	if len(params) > db.o.Limits.MaxParameters {
		return fault.New(fault.LimitExceeded, "Parameter count exceeded: maximum %d parameters allowed, got %d", db.o.Limits.MaxParameters, len(params))
	}
	for i := range params {
		if n := params[i].Size(); n > db.o.Limits.MaxParameterBytes {
			return fault.New(fault.LimitExceeded, "Parameter size exceeded: parameter at index %d is %d bytes (max %d bytes)", i, n, db.o.Limits.MaxParameterBytes)
		}
	}
	return nil
}

// environment is what the expressions of one statement can see: parameters
// first, the literals that became parameters after them.
func (db *DB) environment(s *auth.Session, n *parse.Normalized, params []datum.Value, explicit int, in path) *exec.Env {
	all := params
	if len(n.Literals) > 0 || len(params) != explicit {
		all = make([]datum.Value, 0, explicit+len(n.Literals))
		all = append(all, params[:explicit]...)
		all = append(all, n.Literals...)
	}
	return &exec.Env{
		Params:    all,
		Now:       write.Clock(db.o.Now()),
		User:      s.UserID,
		Role:      s.Role,
		Namespace: in.first(),
		Path:      in.list(),
		NextID:    db.ids.next,
		Version:   db.o.Version,
		Entropy:   db.o.Entropy,
	}
}

// caller is what views over running state may know of a session.
func caller(s *auth.Session, env *exec.Env) relation.Caller {
	return relation.Caller{User: s.UserID, Role: s.Role, Namespace: env.Namespace, Now: env.Now, Variables: env.Variables}
}

// asFault turns what ended a statement into a fault.
func asFault(err error, l Limits) error {
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Timeout, err, "Handler execution timeout: exceeded %s", l.StatementTime)
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Cancelled, err, "the request was given up by its caller or by the server's end")
	}
	return fault.Of(err)
}
