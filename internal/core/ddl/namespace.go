package ddl

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// CreateNamespace runs CREATE NAMESPACE.
func (d *Definer) CreateNamespace(ctx context.Context, actor schema.UserID, s *parse.CreateNamespace) (string, error) {
	name := s.Name.Name
	exists := fmt.Sprintf("Namespace '%s' already exists", name)
	if _, ok := d.o.Definitions().Namespace(name); ok && s.IfNotExists {
		return exists, nil
	}
	if contains(reservedNamespaces, name) {
		return "", fault.New(fault.InvalidDefinition, "namespace name '%s' is reserved", name)
	}
	if err := checkName("namespace", name); err != nil {
		return "", err
	}
	now := d.now()
	_, err := d.commit(ctx, actor, &command.PutNamespace{
		Namespace: schema.Namespace{Name: name, CreatedAt: now, UpdatedAt: now},
		Create:    true,
	})
	if fault.Is(err, fault.AlreadyExists) && s.IfNotExists {
		return exists, nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Namespace '%s' created successfully", name), nil
}

// AlterNamespace runs ALTER NAMESPACE … SET OPTIONS | SET DESCRIPTION | RENAME TO.
func (d *Definer) AlterNamespace(ctx context.Context, actor schema.UserID, s *parse.AlterNamespace) (string, error) {
	if s.NewName.Name != "" {
		return d.renameNamespace(ctx, actor, s)
	}
	ns, err := d.namespace(s.Name.Name)
	if err != nil {
		return "", err
	}
	if s.Description != nil {
		ns.Description = *s.Description
	}
	if len(s.Options) > 0 {
		options := map[string]any{}
		if ns.Options != "" {
			if err := json.Unmarshal([]byte(ns.Options), &options); err != nil {
				return "", fmt.Errorf("decode options of namespace %s: %w", ns.Name, err)
			}
		}
		for _, o := range s.Options {
			options[strings.ToLower(o.Name)] = optionValue(o)
		}
		text, err := json.Marshal(options)
		if err != nil {
			return "", fmt.Errorf("encode options of namespace %s: %w", ns.Name, err)
		}
		ns.Options = string(text)
	}
	ns.UpdatedAt = d.now()
	if _, err := d.commit(ctx, actor, &command.PutNamespace{Namespace: ns}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Namespace '%s' altered successfully", ns.Name), nil
}

// DropNamespace runs DROP NAMESPACE. What is inside goes with it and is named
// in the message, unless the configuration asks for CASCADE to be written.
func (d *Definer) DropNamespace(ctx context.Context, actor schema.UserID, s *parse.DropNamespace) (string, []*schema.Table, error) {
	name := s.Name.Name
	if IsSystemNamespace(name) || name == schema.DefaultNamespace {
		return "", nil, fault.New(fault.InvalidOperation, "namespace '%s' belongs to the system and cannot be dropped", name)
	}
	if _, ok := d.o.Definitions().Namespace(name); !ok {
		if s.IfExists {
			return fmt.Sprintf("Namespace '%s' does not exist (skipped)", name), nil, nil
		}
		return "", nil, missingNamespace(name)
	}
	inside := slices.Collect(d.o.Definitions().Tables(name))
	if len(inside) > 0 && !s.Cascade && (s.Schema || d.o.DropNonemptyNamespace == Refuse) {
		return "", nil, fault.New(fault.InvalidOperation, "namespace '%s' is not empty: it holds %s; add CASCADE to drop them too", name, listTables(inside))
	}
	for _, t := range inside {
		if err := d.refuseSubscribed(t); err != nil {
			return "", nil, err
		}
	}
	receipt, err := d.commit(ctx, actor, &command.DropNamespace{Name: name})
	if err != nil {
		return "", nil, err
	}
	message := fmt.Sprintf("Namespace '%s' dropped successfully", name)
	if n := len(receipt.Dropped); n > 0 {
		message += fmt.Sprintf(", with %d table(s): %s", n, listTables(receipt.Dropped))
	}
	return message, receipt.Dropped, nil
}

// Use checks that a namespace exists and returns the message of USE.
func (d *Definer) Use(name string) (string, error) {
	if !IsSystemNamespace(name) {
		if _, err := d.namespace(name); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("Namespace switched to '%s'", name), nil
}

func (d *Definer) namespace(name string) (schema.Namespace, error) {
	ns, ok := d.o.Definitions().Namespace(name)
	if !ok {
		return schema.Namespace{}, missingNamespace(name)
	}
	return *ns, nil
}

func missingNamespace(name string) error {
	return fault.New(fault.NamespaceNotFound, "Namespace '%s' does not exist", name)
}

// listTables names at most ten tables.
func listTables(tables []*schema.Table) string {
	var b strings.Builder
	for i, t := range tables {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(tables)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.QualifiedName())
	}
	return b.String()
}

// optionValue turns a written option into a JSON value.
func optionValue(o parse.Option) any {
	switch {
	case o.Null:
		return nil
	case o.Quoted:
		return o.Value
	case strings.EqualFold(o.Value, "true"):
		return true
	case strings.EqualFold(o.Value, "false"):
		return false
	}
	if json.Valid([]byte(o.Value)) {
		return json.RawMessage(o.Value)
	}
	return o.Value
}
