package ddl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// maxStorageID is the longest id of a storage.
const maxStorageID = 64

// CreateStorage runs CREATE STORAGE. The place is made and tried before the
// storage is: what cannot be written, listed, read and deleted is refused.
func (d *Definer) CreateStorage(ctx context.Context, actor schema.UserID, s *parse.CreateStorage) (string, error) {
	if err := checkStorageID(s.ID); err != nil {
		return "", err
	}
	if _, ok := d.o.Definitions().Storage(s.ID); ok {
		return "", fault.New(fault.AlreadyExists, "Storage '%s' already exists", s.ID)
	}
	if s.Given["BASE_DIRECTORY"] && strings.TrimSpace(s.BaseDirectory) == "" {
		return "", fault.New(fault.InvalidDefinition, "the PATH of storage '%s' is empty", s.ID)
	}
	now := d.now()
	st := schema.Storage{
		ID: s.ID, Name: s.Name, Description: s.Description, Type: s.Type, BaseDirectory: s.BaseDirectory,
		Credentials: s.Credentials, Config: s.Config, SharedTemplate: s.SharedTemplate, UserTemplate: s.UserTemplate,
		CreatedAt: now, UpdatedAt: now,
	}
	if st.Name == "" {
		st.Name = st.ID
	}
	if err := d.o.Cold.Define(&st, s.Bucket, s.Region); err != nil {
		return "", err
	}
	if err := d.o.Cold.InData(st); err != nil {
		return "", err
	}
	for other := range d.o.Definitions().Storages() {
		if err := d.o.Cold.Overlap(st, *other); err != nil {
			return "", err
		}
	}
	if err := d.tryStorage(st); err != nil {
		return "", err
	}
	if _, err := d.commit(ctx, actor, &command.PutStorage{Storage: st, Create: true}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Storage '%s' created successfully", st.ID), nil
}

// tryStorage refuses a storage that does not work now.
func (d *Definer) tryStorage(st schema.Storage) error {
	if health := d.o.Cold.Check(st, false); health.Err != nil {
		return fault.New(fault.InvalidOperation, "storage '%s' cannot be used: %s", st.ID, health.Err)
	}
	return nil
}

// checkStorageID refuses what STORAGE_ID of a table could not name.
func checkStorageID(id string) error {
	ok := id != "" && len(id) <= maxStorageID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
	if !ok {
		return fault.New(fault.InvalidDefinition, "the id of a storage must have 1 to %d letters, digits, '_' and '-'", maxStorageID)
	}
	return nil
}

// AlterStorage runs ALTER STORAGE. Files keep the paths they have; a changed
// way to reach them is tried first.
func (d *Definer) AlterStorage(ctx context.Context, actor schema.UserID, s *parse.AlterStorage) (string, error) {
	old, ok := d.o.Definitions().Storage(s.ID)
	if !ok {
		return "", missingStorage(s.ID)
	}
	st := *old
	for _, set := range []struct {
		clause, from string
		to           *string
	}{
		{"NAME", s.Name, &st.Name}, {"DESCRIPTION", s.Description, &st.Description},
		{"SHARED_TABLES_TEMPLATE", s.SharedTemplate, &st.SharedTemplate}, {"USER_TABLES_TEMPLATE", s.UserTemplate, &st.UserTemplate},
		{"CREDENTIALS", s.Credentials, &st.Credentials}, {"CONFIG", s.Config, &st.Config},
	} {
		if s.Given[set.clause] {
			*set.to = set.from
		}
	}
	base := st.BaseDirectory
	if st.ID == schema.LocalStorage {
		st.BaseDirectory = d.o.Cold.Base(st) // it is stored empty
	}
	region := cold.RegionOf(*old)
	if cold.RegionOf(st) != "" {
		region = ""
	}
	if err := d.o.Cold.Define(&st, "", region); err != nil {
		return "", err
	}
	st.BaseDirectory = base
	if s.Given["CONFIG"] || s.Given["CREDENTIALS"] {
		for other := range d.o.Definitions().Storages() {
			if other.ID == st.ID {
				continue
			}
			if err := d.o.Cold.Overlap(st, *other); err != nil {
				return "", err
			}
		}
		if err := d.tryStorage(st); err != nil {
			return "", err
		}
	}
	st.UpdatedAt = max(d.now(), old.UpdatedAt+1)
	if _, err := d.commit(ctx, actor, &command.PutStorage{Storage: st}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Storage '%s' altered successfully", st.ID), nil
}

// DropStorage runs DROP STORAGE. Nothing of what is stored there is touched: a
// storage that a table uses, or that holds rows of one or files that go soon, is
// refused. Files that cannot be removed, as of a store that does not answer any
// more, stay there.
func (d *Definer) DropStorage(ctx context.Context, actor schema.UserID, s *parse.DropStorage) (string, error) {
	if s.ID == schema.LocalStorage {
		return "", fault.New(fault.InvalidOperation, "Cannot drop storage 'local': every database has it")
	}
	definitions := d.o.Definitions()
	if _, ok := definitions.Storage(s.ID); !ok {
		if s.IfExists {
			return fmt.Sprintf("Storage '%s' does not exist (skipped)", s.ID), nil
		}
		return "", missingStorage(s.ID)
	}
	var using []*schema.Table
	for t := range definitions.AllTables() {
		if t.Options.StorageID == s.ID {
			using = append(using, t)
		}
	}
	if len(using) > 0 {
		slices.SortFunc(using, func(a, b *schema.Table) int { return strings.Compare(a.QualifiedName(), b.QualifiedName()) })
		return "", fault.New(fault.InvalidOperation, "Cannot drop storage '%s': %d table(s) still using it: %s", s.ID, len(using), listTables(using))
	}
	if left, err := d.o.Leftovers(ctx, s.ID); err != nil {
		return "", err
	} else if left > 0 {
		return "", fault.New(fault.InvalidOperation, "Cannot drop storage '%s': %d file(s) of dropped or compacted tables are still read or in their grace; they are removed soon, try again then", s.ID, left)
	}
	receipt, err := d.commit(ctx, actor, &command.DropStorage{ID: s.ID})
	if err != nil {
		return "", err
	}
	message := fmt.Sprintf("Storage '%s' dropped successfully", s.ID)
	if receipt.Rows > 0 {
		message += fmt.Sprintf("; %d file(s) of dropped tables stay there", receipt.Rows)
	}
	return message, nil
}

func missingStorage(id string) error {
	return fault.New(fault.ObjectNotFound, "Storage '%s' not found", id)
}
