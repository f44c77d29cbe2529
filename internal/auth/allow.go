package auth

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Action is something a statement wants to do.
type Action uint8

// The actions on a table; they depend on its kind and access level.
const (
	Read        Action = iota + 1 // SELECT, SUBSCRIBE, consuming by users
	Write                         // INSERT, UPDATE, DELETE
	CreateTable                   // CREATE TABLE
	AlterTable                    // ALTER TABLE, SET ACCESS LEVEL
	DropTable                     // DROP TABLE
)

// The classes of statements; kind and access level are ignored.
const (
	Select           Action = iota + 32 // any SELECT, before its tables are known
	Modify                              // any INSERT, UPDATE or DELETE, likewise
	Show                                // SHOW …, DESCRIBE TABLE, USE
	Inspect                             // EXPLAIN, SHOW COLUMNS, SHOW ALL, DESCRIBE without TABLE, SET
	Subscribe                           // SUBSCRIBE TO, before its table is known
	Transact                            // BEGIN, COMMIT, ROLLBACK
	ExportUser                          // EXPORT USER DATA of oneself
	ManageNamespaces                    // CREATE, ALTER, DROP NAMESPACE
	ManageViews                         // CREATE, DROP VIEW
	ManageStorages                      // CREATE, ALTER, DROP STORAGE, STORAGE CHECK
	Flush                               // STORAGE FLUSH, STORAGE COMPACT
	ManageJobs                          // KILL JOB
	ManageLive                          // KILL LIVE QUERY
	ManageTopics                        // CREATE, ALTER, CLEAR, DROP TOPIC
	ResetConsumers                      // RESET CONSUMER GROUP
	Consume                             // CONSUME, ACK
	ManageUsers                         // CREATE, ALTER, DROP USER
	Backup                              // BACKUP DATABASE
	Restore                             // RESTORE DATABASE
	ManageCluster                       // CLUSTER …
	ManagePolicies                      // row policies
	ManageRoutines                      // functions, procedures, triggers, types
	ManageSchedules                     // schedules
)

// nobody is a rank above every role.
const nobody = schema.RoleSystem + 1

// Short names keep the tables below readable.
const (
	anon    = schema.RoleAnonymous
	user    = schema.RoleUser
	service = schema.RoleService
	dba     = schema.RoleDBA
	system  = schema.RoleSystem
)

// columnOf returns the column of the table rules for a kind and access level.
// A SHARED table without a level is private.
func columnOf(kind schema.Kind, access schema.Access) int {
	switch kind {
	case schema.User:
		return 0
	case schema.Shared:
		switch access {
		case schema.Public:
			return 1
		case schema.DBAOnly:
			return 3
		}
		return 2
	case schema.Stream:
		return 4
	}
	return 5
}

// tableRules holds, for each action, the weakest role that may take it on a
// table of each column. It is never written.
var tableRules = map[Action][6]schema.Role{
	//           USER     PUBLIC   PRIVATE  DBA      STREAM   SYSTEM
	Read:        {user, anon, service, dba, user, dba},
	Write:       {user, service, service, dba, user, nobody},
	CreateTable: {user, service, service, service, user, nobody},
	AlterTable:  {user, service, service, service, user, nobody},
	DropTable:   {dba, dba, dba, dba, dba, system},
}

// class is the rule of a class of statements.
type class struct {
	weakest schema.Role
	area    string // completes the standard refusal
}

// classRules is never written.
var classRules = map[Action]class{
	Select:           {anon, ""},
	Modify:           {user, ""},
	Show:             {user, ""},
	Subscribe:        {user, ""},
	Transact:         {user, ""},
	ExportUser:       {user, ""},
	Inspect:          {dba, "query inspection"},
	ManageNamespaces: {dba, "namespace operations"},
	ManageViews:      {dba, "view operations"},
	ManageStorages:   {dba, "storage operations"},
	Flush:            {service, "flush operations"},
	ManageJobs:       {dba, "job management"},
	ManageLive:       {dba, "live query management"},
	ManageTopics:     {dba, "topic management"},
	ResetConsumers:   {dba, "consumer group reset"},
	Consume:          {service, "topic consumption"},
	ManageUsers:      {dba, "user management"},
	Backup:           {dba, "backup operations"},
	Restore:          {dba, "restore operations"},
	ManageCluster:    {dba, "cluster operations"},
	ManagePolicies:   {service, "policy operations"},
	ManageRoutines:   {user, ""},
	ManageSchedules:  {dba, "schedule management"},
}

// Allow decides whether a session may take an action on a table of a kind and
// access level, or run a statement of a class. A refusal is PERMISSION_DENIED.
// Rows are not its matter: the effective user's partition is part of the key.
func Allow(s *Session, a Action, kind schema.Kind, access schema.Access) error {
	if _, onTable := tableRules[a]; onTable {
		if allowed(s, a, kind, access) {
			return nil
		}
		return fault.New(fault.PermissionDenied, "%s", refusal(s, a, kind, access))
	}
	rule, known := classRules[a]
	switch {
	case !known:
		return fault.New(fault.PermissionDenied, "nobody may take action %d", a)
	case s.Role >= rule.weakest:
		return nil
	case s.Role == anon && rule.weakest == user:
		return fault.New(fault.PermissionDenied, "Anonymous users can only SELECT from public tables")
	case rule.weakest == service:
		return fault.New(fault.PermissionDenied, "System, DBA, or Service role required for %s", rule.area)
	}
	return fault.New(fault.PermissionDenied, "Admin privileges (DBA or System role) required for %s", rule.area)
}

// AllowTable is Allow for one table, which a refusal names.
func AllowTable(s *Session, a Action, t *schema.Table) error {
	if allowed(s, a, t.Kind, t.Options.Access) {
		return nil
	}
	return fault.New(fault.PermissionDenied, "%s Table %s, role %s.",
		refusal(s, a, t.Kind, t.Options.Access), t.QualifiedName(), s.Role)
}

func allowed(s *Session, a Action, kind schema.Kind, access schema.Access) bool {
	rules, known := tableRules[a]
	return known && s.Role >= rules[columnOf(kind, access)]
}

// refusal is the sentence for an action on a table that is not allowed.
func refusal(s *Session, a Action, kind schema.Kind, access schema.Access) string {
	if s.Role == anon {
		return "Anonymous users can only SELECT from public tables."
	}
	verb := map[Action]string{
		Read: "read", Write: "write", CreateTable: "creation", AlterTable: "change", DropTable: "removal",
	}[a]
	switch kind {
	case schema.User:
		return "User table " + verb + " denied due to insufficient privileges."
	case schema.Stream:
		return "Stream table " + verb + " denied due to insufficient privileges."
	case schema.Shared:
		return "Shared table " + verb + " denied (access_level=" + levelName(access) + ")."
	}
	if a == Read {
		return "System tables require 'dba' or 'system' role."
	}
	return "System table " + verb + " denied: system tables are read-only."
}

// levelName spells an access level as refusals always have.
func levelName(access schema.Access) string {
	switch access {
	case schema.Public:
		return "Public"
	case schema.Restricted:
		return "Restricted"
	case schema.DBAOnly:
		return "Dba"
	}
	return "Private"
}

// AllowActAs decides whether a session may run a statement as another user.
// targetRole is the role of the target's row, deleted or not, and RoleUser for
// an id without a row. Acting as oneself is always allowed.
func AllowActAs(s *Session, target schema.UserID, targetRole schema.Role) error {
	if target == s.UserID {
		return nil
	}
	switch {
	case s.Role == system,
		s.Role == dba && targetRole <= dba,
		s.Role == service && targetRole <= service:
		return nil
	}
	return fault.New(fault.PermissionDenied,
		"role %s is not authorized to execute as user '%s' (role %s)", s.Role, target, targetRole)
}
