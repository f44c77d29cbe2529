package core

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// storageCheck runs STORAGE CHECK: a row that says what works now.
func (db *DB) storageCheck(stmt *parse.StorageCheck) (*Result, error) {
	st, ok := db.apply.Definitions().Storage(stmt.ID)
	if !ok {
		return nil, fault.New(fault.ObjectNotFound, "Storage '%s' not found", stmt.ID)
	}
	begun := db.o.Now()
	health := db.o.Cold.Check(*st, stmt.Extended)
	ended := db.o.Now()
	text, big, yes := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.BigInt}, datum.Type{Kind: datum.Bool}
	columns := []Column{
		{Name: "storage_id", Type: text}, {Name: "status", Type: text}, {Name: "readable", Type: yes}, {Name: "writable", Type: yes},
		{Name: "listable", Type: yes}, {Name: "deletable", Type: yes}, {Name: "latency_ms", Type: big}, {Name: "total_bytes", Type: big},
		{Name: "used_bytes", Type: big}, {Name: "error", Type: text}, {Name: "tested_at", Type: datum.Type{Kind: datum.Timestamp}},
	}
	var total, used, failure datum.Value
	if health.TotalBytes > 0 {
		total, used = datum.NewInt(datum.BigInt, int64(health.TotalBytes)), datum.NewInt(datum.BigInt, int64(health.UsedBytes))
	}
	if health.Err != nil {
		failure = datum.NewText(health.Err.Error())
	}
	row := []datum.Value{
		datum.NewText(st.ID), datum.NewText(health.Status()), datum.NewBool(health.Readable), datum.NewBool(health.Writable),
		datum.NewBool(health.Listable), datum.NewBool(health.Deletable), datum.NewInt(datum.BigInt, ended.Sub(begun).Milliseconds()),
		total, used, failure, datum.NewInt(datum.Timestamp, begun.UnixMicro()),
	}
	return buffered(columns, [][]datum.Value{row}), nil
}

// withoutText keeps the text of a statement, which holds credentials, from
// standing beside its refusal.
func withoutText(id string) func(string, error) (string, error) {
	return func(message string, err error) (string, error) {
		if err == nil {
			return message, nil
		}
		f := *fault.Of(err)
		if f.Detail == "" {
			f.Detail = "storage " + id
		}
		return "", &f
	}
}
