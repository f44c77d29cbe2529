// Package catalog keeps the system tables: namespaces, tables with every
// version of their definition, storages, users, jobs and the audit log.
//
// Namespaces, tables and storages are small and asked for by every statement:
// they are one immutable value in memory, Definitions, which a change replaces
// by another that shares nearly all of it. Users and jobs may be many and are
// read by key; UserCache bounds what is kept of them. A View ties a snapshot of
// the engine to the definitions and the position of the same moment.
//
// What it promises: an Edit writes the batch and the definitions together, and
// refuses a duplicate, or a change of what is missing, before it has written
// anything. Values are JSON behind a version byte; docs/format/catalog.md.
//
// Goroutines: none. Locks: Views.mu and UserCache.mu, never both; neither is
// held across I/O.
package catalog

import (
	"encoding/json"
	"fmt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// valueVersion is the first byte of every value.
const valueVersion = 1

// The second byte of a key names the system table.
const (
	tagAudit     = 'a'
	tagBlob      = 'b'
	tagJob       = 'j'
	tagNamespace = 'n'
	tagStorage   = 's'
	tagTable     = 't'
	tagUser      = 'u'
	tagView      = 'v'

	tagSequence      = 'q'
	tagSequenceState = 'r'
)

// listMax bounds a List without a limit of its own.
const listMax = 10_000

// Rows is one system table whose rows have a name.
type Rows[T any] struct {
	tag     byte
	noun    string         // begins the sentences of faults
	missing fault.Code     // when there is no such row
	absent  string         // the end of that sentence
	name    func(T) string // the key of a row
}

// Namespaces is system.namespaces.
func Namespaces() Rows[schema.Namespace] {
	return Rows[schema.Namespace]{tagNamespace, "Namespace", fault.NamespaceNotFound, "does not exist",
		func(n schema.Namespace) string { return n.Name }}
}

// Storages is system.storages.
func Storages() Rows[schema.Storage] {
	return Rows[schema.Storage]{tagStorage, "Storage", fault.ObjectNotFound, "not found",
		func(s schema.Storage) string { return s.ID }}
}

// Users is system.users.
func Users() Rows[schema.UserRecord] {
	return Rows[schema.UserRecord]{tagUser, "User", fault.ObjectNotFound, "not found",
		func(u schema.UserRecord) string { return string(u.ID) }}
}

// Jobs is system.jobs.
func Jobs() Rows[schema.Job] {
	return Rows[schema.Job]{tagJob, "Job", fault.ObjectNotFound, "not found",
		func(j schema.Job) string { return j.ID }}
}

// Audits is system.audit_log, by AuditID.
func Audits() Rows[schema.AuditEntry] {
	return Rows[schema.AuditEntry]{tagAudit, "Audit entry", fault.ObjectNotFound, "not found",
		func(a schema.AuditEntry) string { return AuditID(a.Number) }}
}

// AuditID spells the number of an entry so that later ones stand behind.
func AuditID(number uint64) string { return fmt.Sprintf("AU-%012d", number) }

// AppendAudit adds an entry, whose number nobody else has.
func AppendAudit(b *store.Batch, a schema.AuditEntry) error { return Audits().put(b, a) }

// ForgetAudit removes an entry.
func ForgetAudit(b *store.Batch, number uint64) {
	engine.Delete(b.Engine(), Audits().key(AuditID(number)))
}

// Get returns the row of a name.
func (t Rows[T]) Get(r store.Reader, name string) (row T, ok bool, err error) {
	value, ok, err := engine.Get(r, t.key(name))
	if err != nil || !ok {
		return row, false, err
	}
	return row, true, t.decode(name, value, &row)
}

// List returns up to limit rows in order of their names, beginning behind a
// name. A limit of 0 stands for 10,000.
func (t Rows[T]) List(r store.Reader, after string, limit int) ([]T, error) {
	if limit <= 0 || limit > listMax {
		limit = listMax
	}
	lower := t.key(after)
	if after != "" {
		lower = append(lower, 0)
	}
	it, err := engine.NewIter(r, lower, []byte{engine.KeyspaceCat, t.tag + 1})
	if err != nil {
		return nil, err
	}
	var rows []T
	for ok := it.First(); ok && len(rows) < limit; ok = it.Next() {
		var row T
		value, err := it.Value()
		if err == nil {
			err = t.decode(string(it.Key()[2:]), value, &row)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, it.Close()
}

// Insert adds a row, or refuses when there is one of its name.
func (t Rows[T]) Insert(r store.Reader, b *store.Batch, row T) error {
	_, ok, err := engine.Get(r, t.key(t.name(row)))
	if err != nil {
		return err
	}
	if ok {
		return t.exists(t.name(row))
	}
	return t.put(b, row)
}

// Update replaces a row, or refuses when there is none of its name.
func (t Rows[T]) Update(r store.Reader, b *store.Batch, row T) error {
	if err := t.known(r, t.name(row)); err != nil {
		return err
	}
	return t.put(b, row)
}

// Delete removes a row, or refuses when there is none of that name.
func (t Rows[T]) Delete(r store.Reader, b *store.Batch, name string) error {
	if err := t.known(r, name); err != nil {
		return err
	}
	engine.Delete(b.Engine(), t.key(name))
	return nil
}

func (t Rows[T]) known(r store.Reader, name string) error {
	_, ok, err := engine.Get(r, t.key(name))
	if err == nil && !ok {
		err = t.notFound(name)
	}
	return err
}

func (t Rows[T]) exists(name string) error {
	return fault.New(fault.AlreadyExists, "%s '%s' already exists", t.noun, name)
}

func (t Rows[T]) notFound(name string) error {
	return fault.New(t.missing, "%s '%s' %s", t.noun, name, t.absent)
}

func (t Rows[T]) put(b *store.Batch, row T) error {
	value, err := encode(row)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", t.noun, t.name(row), err)
	}
	engine.Set(b.Engine(), t.key(t.name(row)), value)
	return nil
}

func (t Rows[T]) key(name string) []byte {
	return append([]byte{engine.KeyspaceCat, t.tag}, name...)
}

func (t Rows[T]) decode(name string, value []byte, row *T) error {
	err := decode(value, row)
	if err == nil && (name == "" || t.name(*row) != name) {
		err = fmt.Errorf("the value is that of %q", t.name(*row))
	}
	if err != nil {
		return fmt.Errorf("read %s %q: %w", t.noun, name, err)
	}
	return nil
}

// encode returns the bytes of a row: structs without maps, so equal rows have
// equal bytes.
func encode(row any) ([]byte, error) {
	text, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	return append([]byte{valueVersion}, text...), nil
}

func decode(value []byte, row any) error {
	if len(value) == 0 || value[0] != valueVersion {
		return fmt.Errorf("the value has an unknown version")
	}
	return json.Unmarshal(value[1:], row)
}
