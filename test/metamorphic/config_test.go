package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// config is what a program may be run under. A zero field is the default. What
// a program answers may depend on none of them, but for lost relaxed commits.
type config struct {
	memTable, block, cache int64 // of the engine, in bytes

	pages, groupBytes, bloomRows int64 // of the cold tier
	openFiles, groupRows         int64

	sortBytes, historySeconds, historyBytes, retentionSeconds int64 // of maintenance

	packScopes, packRows int64 // from how many partitions on, of how few rows, they share files; -1 and 0 for never
	sliceRows, smallRows int64 // that one command moves; up to which a file is compacted
	graceSeconds         int64 // that a file stays which a compacted one has replaced

	compression string // of cold files
	flush       string // when rows go to the cold tier: asked, never, always
	restart     string // when the database is opened again: asked, never, always, crash
	durability  string // of writes: asked, sync
}

// fields names the fields of a config in text.
func (c *config) fields() []configField {
	return []configField{
		{"memtable", &c.memTable, nil}, {"block", &c.block, nil}, {"cache", &c.cache, nil},
		{"pages", &c.pages, nil}, {"group_bytes", &c.groupBytes, nil}, {"bloom_rows", &c.bloomRows, nil},
		{"open_files", &c.openFiles, nil}, {"group_rows", &c.groupRows, nil},
		{"sort_bytes", &c.sortBytes, nil}, {"history_s", &c.historySeconds, nil},
		{"history_bytes", &c.historyBytes, nil}, {"retention_s", &c.retentionSeconds, nil},
		{"pack", &c.packScopes, nil}, {"pack_rows", &c.packRows, nil}, {"slice", &c.sliceRows, nil}, {"small", &c.smallRows, nil},
		{"grace_s", &c.graceSeconds, nil},
		{"compression", nil, &c.compression}, {"flush", nil, &c.flush}, {"restart", nil, &c.restart},
		{"durability", nil, &c.durability},
	}
}

// configField is one field: a number or a word.
type configField struct {
	name   string
	number *int64
	word   *string
}

// String prints what is not the default.
func (c config) String() string {
	var b strings.Builder
	b.WriteString("config")
	for _, f := range c.fields() {
		switch {
		case f.number != nil && *f.number != 0:
			fmt.Fprintf(&b, " %s=%d", f.name, *f.number)
		case f.word != nil && *f.word != "":
			fmt.Fprintf(&b, " %s=%s", f.name, *f.word)
		}
	}
	return b.String()
}

// parseConfig reads what String has printed.
func parseConfig(line string) (c config, err error) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "config" {
		return c, fmt.Errorf("%q is no config", line)
	}
next:
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		for _, f := range c.fields() {
			if f.name != name {
				continue
			}
			if f.word != nil {
				*f.word = value
			} else if *f.number, err = strconv.ParseInt(value, 10, 64); err != nil {
				return c, fmt.Errorf("config %s: %w", name, err)
			}
			continue next
		}
		return c, fmt.Errorf("%q is no field of a config", name)
	}
	return c, nil
}

// plainConfig keeps all rows hot and never stops: what the others must agree
// with.
func plainConfig() config { return config{flush: "never", restart: "never"} }

// randomConfig draws options. Small sizes make many files, blocks and row
// groups out of few rows.
func randomConfig(r *rand.Rand) config {
	number := func(values ...int64) int64 { return values[r.IntN(len(values))] }
	word := func(values ...string) string { return values[r.IntN(len(values))] }
	return config{
		memTable: number(0, 0, 32<<10, 64<<10, 512<<10), block: number(0, 128, 1024, 64<<10), cache: number(0, 1, 64<<10),
		pages: number(0, 1, 4096), groupBytes: number(0, 0, 300), bloomRows: number(0, 1), openFiles: number(0, 1, 2),
		groupRows: number(0, 1, 3, 50), sortBytes: number(0, 1), historySeconds: number(0, 0, 20, 120),
		historyBytes: number(0, 0, 0, 1, 2000), retentionSeconds: number(0, 0, 30, -1), compression: word("", "snappy", "zstd", "none"),
		packScopes: number(0, 0, 1, 2), packRows: number(0, 0, 3, 30), sliceRows: number(0, 0, 1, 3), smallRows: number(0, 0, 2, 20),
		graceSeconds: number(0, 0, 15),
		flush:        word("", "", "", "always"), restart: word("", "", "", "always", "crash"), durability: word("", "", "sync"),
	}
}
