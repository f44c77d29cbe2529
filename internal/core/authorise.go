package core

import (
	"context"
	"slices"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/ddl"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// overlay is the catalog as the statements of one batch will leave it: what
// the catalog of the moment says, and what earlier statements will have made.
type overlay struct {
	view       *relation.View
	path       path    // where unqualified names are looked up
	choices    history // of a batch: what has chosen the path
	tables     map[string]*schema.Table
	namespaces map[string]bool // true made, false dropped
	// plans are those of statements that have run, nil for none: the statement
	// within another one need not be parsed again.
	plans *planCache
	parse func(text string) (parse.Statement, error)
}

// overlay shows the catalog of a view to the checks of rights.
func (db *DB) overlay(ctx context.Context, view *relation.View, in path) *overlay {
	return &overlay{view: view, path: in, plans: db.plans, parse: func(text string) (parse.Statement, error) { return db.parse(ctx, text) }}
}

// known returns the tree of a statement: that of its plan, if there is one, for
// then it is not parsed when it runs either. The places in such a tree are those
// of the text that it was made of: exact says that they are this text's.
func (o *overlay) known(text string) (stmt parse.Statement, exact bool, err error) {
	if n, err := parse.Normalize(text); err == nil && !n.Several && !n.Unterminated {
		if p := o.plans.look(planKey{o.path, n.Key}, o.view.DefinitionsVersion()); p != nil {
			return p.statement, false, nil
		}
	}
	stmt, err = o.parse(text)
	return stmt, true, err
}

// qualified returns the namespace of a name.
func (o *overlay) qualified(n parse.Name) string {
	if o.path.single() || n.Namespace != "" {
		return namespaceOf(o.view, n, o.path)
	}
	for namespace := range o.path.names() {
		t, noted := o.tables[namespace+"."+n.Name]
		if noted && t != nil || !noted && o.has(namespace) && o.view.Holds(namespace, n.Name) {
			return namespace
		}
	}
	return namespaceOf(o.view, n, path(o.first()))
}

// has reports whether there will be a namespace.
func (o *overlay) has(namespace string) bool {
	if made, noted := o.namespaces[namespace]; noted {
		return made
	}
	return o.view.HasNamespace(namespace)
}

// first returns where a statement makes what it names without a namespace.
func (o *overlay) first() string {
	for namespace := range o.path.names() {
		if o.has(namespace) {
			return namespace
		}
	}
	return o.path.first()
}

// table returns a table as far as rights go: kind and access level. nil means
// that nobody knows the name; it will be not found when its statement runs.
func (o *overlay) table(n parse.Name) *schema.Table {
	namespace := o.qualified(n)
	if t, noted := o.tables[namespace+"."+n.Name]; noted {
		return t
	}
	if made, noted := o.namespaces[namespace]; noted && !made {
		return nil
	}
	t, err := o.view.Table(namespace, n.Name)
	if err != nil {
		return nil
	}
	return t
}

// note records what a statement will have changed.
func (o *overlay) note(s parse.Statement) {
	switch s := s.(type) {
	case *parse.CreateTable:
		made := s.Table
		if made.Namespace == "" && !o.path.single() {
			made.Namespace = o.first()
		}
		if kind, err := ddl.KindOf(s); err == nil && o.table(made) == nil {
			o.noteTable(made, &schema.Table{Namespace: o.qualified(made), Name: s.Table.Name, Kind: kind, Options: schema.Options{Access: accessOf(s.Options)}})
		}
	case *parse.AlterTable:
		o.noteAltered(s)
	case *parse.DropTable:
		o.noteTable(s.Table, nil)
	case *parse.CreateNamespace:
		o.noteNamespace(s.Name.Name, true)
	case *parse.AlterNamespace:
		if s.NewName.Name != "" {
			o.noteRenamed(s.Name.Name, s.NewName.Name)
		}
	case *parse.DropNamespace:
		o.noteNamespace(s.Name.Name, false)
	}
	if o.choices.statement(s) {
		o.path = o.choices.now.path
	}
}

func (o *overlay) noteTable(n parse.Name, t *schema.Table) {
	if o.tables == nil {
		o.tables = map[string]*schema.Table{}
	}
	o.tables[o.qualified(n)+"."+n.Name] = t
}

func (o *overlay) noteNamespace(name string, made bool) {
	if o.namespaces == nil {
		o.namespaces = map[string]bool{}
	}
	o.namespaces[name] = made
	if made {
		return
	}
	for qualified := range o.tables {
		if strings.HasPrefix(qualified, name+".") {
			o.tables[qualified] = nil
		}
	}
}

func accessOf(options []parse.Option) schema.Access {
	for _, o := range options {
		if o.Name == "ACCESS_LEVEL" {
			return schema.Access(strings.ToLower(o.Value))
		}
	}
	return ""
}

// icebergOption publishes the cold rows of a table, of all its users, to whoever
// reads its storage.
const icebergOption = "ICEBERG"

// allowPublishing lets only those name the option who decide about storages.
func allowPublishing(s *auth.Session, options []parse.Option) error {
	if !optionOf(options, icebergOption) {
		return nil
	}
	return auth.Allow(s, auth.ManageStorages, 0, "")
}

// optionOf reports whether an option is written.
func optionOf(options []parse.Option, name string) bool {
	return slices.ContainsFunc(options, func(o parse.Option) bool { return o.Name == name })
}

// authorise decides whether a session may run a statement against the catalog
// that o shows. SQL, live queries and every other door call it before anything
// runs, and once more when the statement is bound.
func authorise(s *auth.Session, stmt parse.Statement, o *overlay) error {
	switch stmt := stmt.(type) {
	case *parse.Select:
		return authoriseTables(s, auth.Select, auth.Read, stmt.Tables, o)
	case *parse.Insert:
		if err := authoriseChange(s, stmt.Table, stmt.Tables, o); err != nil {
			return err
		}
		if stmt.Select != nil {
			return authorise(s, stmt.Select, o)
		}
		return nil
	case *parse.Update:
		return authoriseChange(s, stmt.Table, stmt.Tables, o)
	case *parse.Delete:
		return authoriseChange(s, stmt.Table, stmt.Tables, o)
	case *parse.Explain:
		if err := auth.Allow(s, auth.Inspect, 0, ""); err != nil {
			return err
		}
		return authorise(s, stmt.Inner, o)
	case *parse.CreateTable:
		kind, err := ddl.KindOf(stmt)
		if err != nil {
			return err
		}
		if err := allowPublishing(s, stmt.Options); err != nil {
			return err
		}
		return auth.Allow(s, auth.CreateTable, kind, accessOf(stmt.Options))
	case *parse.AlterTable:
		if err := allowPublishing(s, stmt.Properties); err != nil {
			return err
		}
		return authoriseTables(s, auth.Modify, auth.AlterTable, []parse.Name{stmt.Table}, o)
	case *parse.Comment:
		return authoriseComment(s, stmt, o)
	case *parse.CreateIndex:
		return authoriseTables(s, auth.Modify, auth.AlterTable, []parse.Name{stmt.Table}, o)
	case *parse.RenameObject:
		if stmt.Kind == "VIEW" {
			return auth.Allow(s, auth.ManageViews, 0, "")
		}
		return authoriseTables(s, auth.Modify, auth.AlterTable, indexedTables(&parse.DropIndex{Index: stmt.Object}, o), o)
	case *parse.DropIndex:
		return authoriseTables(s, auth.Modify, auth.AlterTable, indexedTables(stmt, o), o)
	case *parse.DropTable:
		if s.Role < schema.RoleDBA {
			return fault.New(fault.PermissionDenied, "Admin privileges (DBA or System role) required for table removal")
		}
		return nil
	case *parse.ExecuteAs:
		return authoriseAs(s, stmt, o)
	case *parse.Describe:
		return authoriseDescribe(s, stmt, o)
	case *parse.ShowStats:
		return authoriseTables(s, auth.Show, auth.Read, []parse.Name{stmt.Table}, o)
	case *parse.ShowIndexes:
		return authoriseTables(s, auth.Show, auth.Read, []parse.Name{stmt.Table}, o)
	case *parse.AlterUser:
		if schema.UserID(stmt.User) == s.UserID && (stmt.Field == "password" || stmt.Field == "email") && s.Role > schema.RoleAnonymous {
			return nil
		}
		return auth.Allow(s, auth.ManageUsers, 0, "")
	}
	return auth.Allow(s, classOf(stmt), 0, "")
}

// authoriseDescribe: DESCRIBE TABLE is for who may read the table, DESCRIBE
// without TABLE for administrators.
func authoriseDescribe(s *auth.Session, stmt *parse.Describe, o *overlay) error {
	if stmt.Bare {
		if err := auth.Allow(s, auth.Inspect, 0, ""); err != nil {
			return err
		}
	}
	return authoriseTables(s, auth.Show, auth.Read, []parse.Name{stmt.Table}, o)
}

// authoriseChange asks for the right to write the target and to read every
// other table that is named.
func authoriseChange(s *auth.Session, target parse.Name, tables []parse.Name, o *overlay) error {
	if err := authoriseTables(s, auth.Modify, auth.Write, []parse.Name{target}, o); err != nil {
		return err
	}
	var others []parse.Name
	for _, t := range tables {
		if o.qualified(t) != o.qualified(target) || t.Name != target.Name {
			others = append(others, t)
		}
	}
	return authoriseTables(s, auth.Select, auth.Read, others, o)
}

func authoriseTables(s *auth.Session, class, action auth.Action, tables []parse.Name, o *overlay) error {
	if err := auth.Allow(s, class, 0, ""); err != nil {
		return err
	}
	for _, n := range tables {
		if o.qualified(n) == schema.SystemNamespace && action == auth.Read {
			if err := auth.Allow(s, auth.Read, schema.System, ""); err != nil {
				return err
			}
		}
		t := o.table(n)
		if t == nil {
			continue // not found when the statement runs
		}
		if err := allowTable(s, action, t); err != nil {
			return err
		}
	}
	return nil
}

// allowTable is the rule for one known table. information_schema and pg_catalog
// show each role what it may use, so every account may read them.
func allowTable(s *auth.Session, action auth.Action, t *schema.Table) error {
	if t.Kind == schema.System {
		if action == auth.Read && (t.Namespace == relation.InformationSchema || t.Namespace == relation.PGCatalog) && s.Role > schema.RoleAnonymous {
			return nil
		}
		if action != auth.Read && s.Role.Admin() {
			return nil // the statement itself answers that system tables are read only
		}
		if action == auth.Read && (t.Name == "statements" || t.Name == "sessions") && s.Role > schema.RoleAnonymous {
			return nil // it shows a caller his own
		}
	}
	if t.Present() && action == auth.Write && s.Role > schema.RoleAnonymous {
		action = auth.Read // who may see who is there may be there
	}
	return auth.AllowTable(s, action, t)
}

// classOf returns the class of a statement whose rights no table decides.
func classOf(stmt parse.Statement) auth.Action {
	switch stmt := stmt.(type) {
	case *parse.CreateNamespace, *parse.DropNamespace, *parse.AlterNamespace:
		return auth.ManageNamespaces
	case *parse.Use, *parse.ShowNamespaces, *parse.ShowTables, *parse.ShowStorages:
		return auth.Show
	case *parse.Show:
		if w := stmt.What; w == "manifest" || w == "export" {
			return auth.Show
		}
		return settingClass(stmt.What)
	case *parse.SetOption:
		return setClass(stmt.Name)
	case *parse.ResetOption:
		return setClass(stmt.Name)
	case *parse.ShowColumns:
		return auth.Inspect
	case *parse.CreateSequence, *parse.AlterSequence, *parse.DropSequence:
		return auth.ManageNamespaces
	case *parse.CreateView, *parse.DropView:
		return auth.ManageViews
	case *parse.CreateUser, *parse.DropUser, *parse.EraseUser:
		return auth.ManageUsers
	case *parse.StorageFlush:
		return auth.Flush
	case *parse.CreateStorage, *parse.AlterStorage, *parse.DropStorage, *parse.StorageCheck:
		return auth.ManageStorages
	case *parse.KillQuery:
		return auth.Show // own statements, or those of others as administrator
	case *parse.KillLive:
		return auth.Show // own live queries, or those of others as administrator
	case *parse.Cluster:
		return auth.ManageCluster
	case *parse.KillJob:
		return auth.ManageJobs
	case *parse.ExportUser:
		return auth.ExportUser
	case *parse.Backup, *parse.ShowBackup:
		return auth.Backup
	case *parse.Restore:
		return auth.Restore
	case *parse.Begin, *parse.SetTransaction, *parse.Commit, *parse.Rollback, *parse.Savepoint, *parse.RollbackTo, *parse.Release:
		return auth.Transact
	case *parse.Subscribe:
		return auth.Subscribe
	case *parse.NotYet:
		return areaOf(stmt.Area)
	}
	return auth.Inspect
}

// areaOf returns the class of a statement that this version does not run yet.
func areaOf(area string) auth.Action {
	switch area {
	case "storage":
		return auth.ManageStorages
	case "maintenance", "compact", "flush":
		return auth.Flush
	case "topic":
		return auth.ManageTopics
	case "consumer group":
		return auth.ResetConsumers
	case "consume":
		return auth.Consume
	case "policy":
		return auth.ManagePolicies
	case "view":
		return auth.ManageViews
	case "schedule":
		return auth.ManageSchedules
	case "job":
		return auth.ManageJobs
	case "namespace":
		return auth.ManageNamespaces
	case "user":
		return auth.ManageUsers
	}
	return auth.Modify
}
