package core

import (
	"cmp"
	"context"
	"strings"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/source"
)

// Origins of transactions, as system.transactions shows them.
const originBatch = "SqlBatch"

// Conversation is what a client has between his statements: what USE and SET
// chose, and the transaction that he has open. A request over HTTP is one of
// its own; a door that knows its clients keeps one for each. It is used by one
// goroutine at a time and must be closed.
type Conversation struct {
	db        *DB
	session   *auth.Session
	origin    string
	variables *variables
	backend   int          // the number of the session
	tx        *transaction // open, or nil
	drawn     *drawn       // from sequences, or nil
	gone      func() bool  // that of the request, or nil
	began     time.Time    // when the request did, or zero
	running   *statement   // the one that runs
	until     time.Time    // when the batch that runs must have ended, or zero
	upload    *Upload      // what came with the request, or nil
}

// numbers returns what the conversation has drawn from sequences.
func (c *Conversation) numbers() *drawn {
	if c.drawn == nil {
		c.drawn = &drawn{}
	}
	return c.drawn
}

// Converse begins a conversation. Names without a namespace are looked up in
// the one given.
func (db *DB) Converse(s *auth.Session, origin, namespace string) *Conversation {
	return &Conversation{db: db, session: s, origin: origin, variables: newVariables(path(namespace)), backend: db.statements.backend()}
}

// Execute runs the statements of a text, as DB.Execute does, in the transaction
// that an earlier one has left open, if any. After a failure nothing but
// ROLLBACK, COMMIT, which rolls back too, or ROLLBACK TO a savepoint is taken.
func (c *Conversation) Execute(ctx context.Context, sql string, params []datum.Value) ([]*Result, error) {
	results, err := c.execute(ctx, sql, params)
	if err != nil && c.tx != nil {
		c.tx.refuse(err)
	}
	return results, asFault(err, c.db.o.Limits)
}

// Close rolls back the transaction that is open.
func (c *Conversation) Close() {
	if c.tx != nil {
		c.tx.end()
		c.tx = nil
	}
}

// InTransaction reports whether a transaction is open, and whether it has
// failed.
func (c *Conversation) InTransaction() (open, failed bool) {
	return c.tx != nil, c.tx != nil && c.tx.failure() != nil
}

// leave ends the conversation of one request: a transaction that it has left
// open is rolled back, which is a fault.
func (c *Conversation) leave(results []*Result, err error) ([]*Result, error) {
	open := c.tx != nil
	c.Close()
	if err != nil || !open {
		return results, err
	}
	for _, r := range results {
		r.Close()
	}
	return nil, fault.New(fault.OpenTransaction, "Request completed with an open explicit transaction; rolled back automatically")
}

// as returns the conversation for a statement that runs with another identity
// in the same transaction.
func (c *Conversation) as(s *auth.Session) *Conversation {
	other := *c
	other.session = s
	return &other
}

// run executes one statement.
func (c *Conversation) run(ctx context.Context, n *parse.Normalized, params []datum.Value) (result *Result, err error) {
	x := c.db.statements.begin(ctx, c, n, c.db.o.Limits.StatementTime)
	c.running = x
	defer func() {
		if result == nil { // after a panic too
			err = x.fault(err, c.db.o.Limits)
			x.end(err)
		}
	}()
	if result, err = c.enter(x, n, params); err != nil {
		return nil, err
	}
	x.follow(result, c.db.o.Limits)
	return result, nil
}

// enter executes a statement in the transaction that is open, if any.
func (c *Conversation) enter(ctx context.Context, n *parse.Normalized, params []datum.Value) (*Result, error) {
	if c.tx == nil {
		c.variables.fresh()
		return c.db.runOne(ctx, c, n, params)
	}
	tx := c.tx
	if err := tx.enter(func() bool { return c.ends(n.Text) }); err != nil {
		return nil, err
	}
	result, err := c.db.runOne(ctx, c, n, params)
	tx.leave(err)
	if err == nil {
		result.watch(tx)
	}
	return result, err
}

// view returns the moment that a statement is bound under and reads, held for
// the caller: that of the transaction, or the current durable one, or the
// newest.
func (c *Conversation) view(newest bool) *relation.View {
	if c.tx != nil {
		if v := c.tx.view(); v != nil {
			return v
		}
	}
	if newest {
		return c.db.relations.Applied()
	}
	return c.db.relations.View()
}

// ends reports whether a statement is one that a failed transaction takes.
func (c *Conversation) ends(text string) bool {
	stmt, err := c.db.parser().Parse(text)
	if err != nil {
		return false
	}
	switch stmt.(type) {
	case *parse.Commit, *parse.Rollback, *parse.RollbackTo:
		return true
	}
	return false
}

// transact runs the statements that begin, mark and end transactions; done says
// that the statement is one of them.
func (c *Conversation) transact(ctx context.Context, stmt parse.Statement, env *exec.Env) (message string, done bool, err error) {
	switch stmt := stmt.(type) {
	case *parse.Begin:
		message, err = c.begin(stmt, env)
	case *parse.SetTransaction:
		message, err = "SET", c.setTransaction(stmt)
	case *parse.Commit:
		tx := c.tx
		if message, err = c.commit(ctx); err == nil && stmt.Chain {
			message, err = c.chain(tx, message, env)
		}
	case *parse.Rollback:
		tx := c.tx
		if message, err = c.rollback(); err == nil && stmt.Chain {
			message, err = c.chain(tx, message, env)
		}
	case *parse.Savepoint:
		message, err = c.mark("SAVEPOINT", "Savepoint created", stmt.Name, func(tx *transaction) error { return tx.staged.Savepoint(stmt.Name) }, (*history).savepoint)
	case *parse.RollbackTo:
		message, err = c.mark("ROLLBACK TO SAVEPOINT", "Rolled back to savepoint", stmt.Name, func(tx *transaction) error { return tx.rollbackTo(stmt.Name) }, (*history).rollbackTo)
	case *parse.Release:
		message, err = c.mark("RELEASE SAVEPOINT", "Savepoint released", stmt.Name, func(tx *transaction) error { return tx.staged.Release(stmt.Name) }, (*history).release)
	default:
		return "", false, c.allows(stmt)
	}
	return message, true, err
}

func (c *Conversation) begin(stmt *parse.Begin, env *exec.Env) (string, error) {
	if c.tx != nil {
		return "", fault.New(fault.ActiveTransaction, "this session already has an active transaction '%s'", c.tx.id)
	}
	tx, err := c.db.transactions.begin(c, env.UUIDv7(), modes{serializable: stmt.Isolation == serializable, readOnly: stmt.ReadOnly})
	if err != nil {
		return "", err
	}
	c.tx = tx
	c.variables.follow((*history).begin)
	return "Transaction started (" + tx.id + ")", nil
}

// chain begins a transaction like one that has just ended, in its place.
func (c *Conversation) chain(ended *transaction, message string, env *exec.Env) (string, error) {
	m := ended.modes
	m.chained = true
	tx, err := c.db.transactions.begin(c, env.UUIDv7(), m)
	if err != nil {
		return "", err
	}
	c.tx = tx
	c.variables.follow((*history).begin)
	return message + ", started (" + tx.id + ")", nil
}

// setTransaction changes the modes of the open transaction.
func (c *Conversation) setTransaction(stmt *parse.SetTransaction) error {
	tx := c.tx
	if tx == nil {
		return fault.New(fault.NoTransaction, "SET TRANSACTION requires an active explicit SQL transaction")
	}
	next := tx.modes
	if stmt.Isolation != "" {
		next.serializable = stmt.Isolation == serializable
	}
	if stmt.Access != "" {
		next.readOnly = stmt.Access == "read only"
	}
	switch {
	case tx.queried && next.serializable != tx.modes.serializable:
		return fault.New(fault.ActiveTransaction, "SET TRANSACTION ISOLATION LEVEL must come before any query of the transaction")
	case tx.queried && tx.modes.readOnly && !next.readOnly:
		return fault.New(fault.ActiveTransaction, "SET TRANSACTION READ WRITE must come before any query of the transaction")
	}
	tx.staged.Serialize(next.serializable)
	tx.modes = next
	return nil
}

// setting returns what SHOW says of the open transaction.
func (c *Conversation) setting(name string) (value string, ok bool) {
	switch {
	case c.tx == nil:
	case name == "transaction_isolation" && c.tx.modes.serializable:
		return serializable, true
	case name == "transaction_read_only" && c.tx.modes.readOnly:
		return "on", true
	}
	return "", false
}

// reads notes that a statement of the transaction looks at rows.
func (c *Conversation) reads(stmt parse.Statement) {
	switch stmt.(type) {
	case *parse.Select, *parse.Insert, *parse.Update, *parse.Delete, *parse.Explain, *parse.ExecuteAs:
		c.tx.queried = true
	}
}

func (c *Conversation) commit(ctx context.Context) (string, error) {
	tx := c.tx
	if tx == nil {
		return "", fault.New(fault.NoTransaction, "COMMIT requires an active explicit SQL transaction")
	}
	c.tx = nil
	outcome := (*history).rollback
	defer func() { c.variables.follow(outcome) }()
	if tx.failure() != nil {
		tx.end()
		if err := tx.untold(); err != nil {
			return "", err
		}
		return "Transaction rolled back (" + tx.id + ")", nil
	}
	if err := tx.commit(ctx); err != nil {
		if fault.Is(err, fault.Conflict) {
			// Whoever tries again shall see what came before him, and nobody be
			// told of a commit that a power cut may take back.
			err = cmp.Or(c.db.apply.Settle(ctx), err)
		}
		return "", err
	}
	outcome = (*history).commit
	return "Transaction committed (" + tx.id + ")", nil
}

func (c *Conversation) rollback() (string, error) {
	tx := c.tx
	if tx == nil {
		return "", fault.New(fault.NoTransaction, "ROLLBACK requires an active explicit SQL transaction")
	}
	c.tx = nil
	tx.end()
	c.variables.follow((*history).rollback)
	return "Transaction rolled back (" + tx.id + ")", nil
}

func (c *Conversation) mark(words, done, name string, do func(*transaction) error, follow func(*history, string)) (string, error) {
	if c.tx == nil {
		return "", fault.New(fault.NoTransaction, "%s requires an active explicit SQL transaction", words)
	}
	if err := do(c.tx); err != nil {
		return "", err
	}
	c.variables.follow(func(h *history) { follow(h, name) })
	return done + " (" + name + ")", nil
}

// allows refuses what cannot be undone while a transaction is open: changes of
// definitions, jobs and accounts.
func (c *Conversation) allows(stmt parse.Statement) error {
	if c.tx == nil {
		return nil
	}
	switch stmt := stmt.(type) {
	case *parse.ShowNamespaces, *parse.ShowTables, *parse.ShowStorages, *parse.ShowStats, *parse.ShowColumns, *parse.ShowIndexes, *parse.Show, *parse.ShowBackup,
		*parse.Describe, *parse.Explain, *parse.Use, *parse.SetOption, *parse.ResetOption, *parse.ExecuteAs, *parse.Subscribe, *parse.NotYet,
		*parse.Select, *parse.Insert, *parse.Update, *parse.Delete:
		return nil
	case *parse.Cluster:
		return fault.New(fault.ActiveTransaction, "CLUSTER is not allowed inside explicit transaction '%s'", c.tx.id)
	case *parse.StorageCheck:
		return nil
	case *parse.StorageFlush:
		return fault.New(fault.ActiveTransaction, "STORAGE %s is not allowed inside explicit transaction '%s'", strings.ToUpper(storageWork(stmt)), c.tx.id)
	case *parse.Backup, *parse.Restore:
		return fault.New(fault.ActiveTransaction, "BACKUP and RESTORE are not allowed inside explicit transaction '%s'", c.tx.id)
	case *parse.KillQuery, *parse.KillLive, *parse.KillJob:
		return fault.New(fault.ActiveTransaction, "KILL is not allowed inside explicit transaction '%s'", c.tx.id)
	}
	return fault.New(fault.ActiveTransaction, "DDL is not allowed inside explicit transaction '%s'", c.tx.id)
}

// target is whose rows of a table a statement changes, and in which transaction.
func (c *Conversation) target(t *schema.Table, p *prepared, env *exec.Env) (write.Target, error) {
	to := write.Target{Scope: scopeOf(c.session, t), Caller: caller(c.session, env)}
	if table, tree := p.reads(); table != nil || tree != nil || p.computes() != nil {
		to.Open = func(view *relation.View, t *schema.Table) (source.Table, error) {
			return opened(c.session, view, env)(t)
		}
	}
	if c.tx == nil {
		return to, nil
	}
	verb := "DELETE"
	switch {
	case p.insert != nil:
		verb = "INSERT"
	case p.update != nil:
		verb = "UPDATE"
	}
	switch to.In = c.tx.staged; {
	case t.Kind == schema.Stream:
		return to, fault.New(fault.InvalidOperation, "stream tables are not supported inside explicit transactions")
	case c.tx.modes.readOnly:
		return to, fault.New(fault.InvalidOperation, "cannot execute %s in a read-only transaction", verb)
	}
	return to, nil
}
