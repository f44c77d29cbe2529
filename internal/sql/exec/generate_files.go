package exec

import (
	"context"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

const (
	// fileRows is from how many rows on DuckDB reads files itself: below it, binding
	// them takes longer than reading the rows takes us.
	fileRows = 8192
	// fileShare is how many rows a file must have on average, for the same reason.
	fileShare = 512
	// filesMost bounds the files of one scan.
	filesMost = 1024
)

// divide writes a scan whose cold rows DuckDB reads from their files, beside a
// scan of all other rows; nil when there are too few to be worth it. names are
// those of the wanted columns.
func (g *generator) divide(n *plan.Scan, t source.Table, r source.Request, s duck.Scan, alias string) (*block, error) {
	divided, ok := t.(source.Divided)
	if !ok || g.leastFileRows < 0 {
		return nil, nil
	}
	d, err := divided.Divide(g.ctx, r, g.leastFileRows, filesMost)
	if err != nil || d == nil {
		return nil, err
	}
	ranges := 0
	for i := range d.Files {
		ranges += len(d.Files[i].Ranges)
	}
	if d.Rows/int64(ranges) < min(fileShare, g.leastFileRows) {
		return nil, nil
	}
	b := &block{}
	names := make([]string, len(n.Needed))
	for i, p := range n.Needed {
		names[i] = "c" + strconv.Itoa(i)
		b.cols = append(b.cols, column{place{n.Rel, p}, term{text: alias + "." + names[i], t: n.Table.Columns[p].Type, plain: true}})
	}
	list := strings.Join(names, ", ")
	if len(names) == 0 {
		list = "1 AS c0"
	}
	s.Rows = max(s.Rows-d.Rows, 1)
	s.Open = func(ctx context.Context) (source.Rows, error) { return d.Rest(ctx) }
	s.Pieces = func(ctx context.Context) (source.Pieces, error) { return d.Pieces(ctx, pieceRows) }
	var text strings.Builder
	text.WriteString("(SELECT " + list + " FROM " + g.addScan(s, n))
	about := g.scans[len(g.scans)-1]
	about.tally = r.Tally
	about.estimate, about.files, about.fileRows = s.Rows+d.Rows, ranges, d.Rows
	for i := range d.Files {
		text.WriteString(" UNION ALL " + g.files(n, &d.Files[i]))
	}
	text.WriteString(") AS " + alias)
	b.from = text.String()
	return b, nil
}

// files writes a SELECT over files.
func (g *generator) files(n *plan.Scan, in *source.Files) string {
	f, alias := duck.Files{Folders: in.Folders}, g.name("f")
	list := make([]string, len(n.Needed))
	for i, p := range n.Needed {
		c := &n.Table.Columns[p]
		as := " AS c" + strconv.Itoa(i)
		v, absent := in.Absent[p]
		switch {
		case !absent:
			list[i] = alias + ".c" + strconv.Itoa(len(f.Columns)) + as
			f.Columns = append(f.Columns, duck.FileColumn{ID: int(c.ID), Type: c.Type})
		case v.IsNull():
			list[i] = "CAST(NULL AS " + duck.Physical(c.Type) + ")" + as
		default:
			list[i] = "CAST(" + g.param(v).text + " AS " + duck.Physical(c.Type) + ")" + as
		}
	}
	if len(list) == 0 {
		list = []string{"1 AS c0"}
	}
	if len(f.Columns) == 0 { // DuckDB wants a column even to count rows
		if seq := n.Table.Column(schema.SeqName); seq >= 0 {
			f.Columns = append(f.Columns, duck.FileColumn{ID: int(n.Table.Columns[seq].ID), Type: datum.Type{Kind: datum.BigInt}})
		}
	}
	var where []string
	for i, r := range in.Ranges {
		f.Paths = append(f.Paths, r.Path)
		if r.From > 0 || r.To < r.Rows {
			where = append(where, "("+alias+".file_index <> "+strconv.Itoa(i)+" OR "+alias+".file_row_number >= "+strconv.FormatUint(r.From, 10)+
				" AND "+alias+".file_row_number < "+strconv.FormatUint(r.To, 10)+")")
		}
	}
	if len(in.Ranges) == 1 && len(where) == 1 { // which row groups hold the rows is then plain to DuckDB
		where[0] = alias + ".file_row_number BETWEEN " + strconv.FormatUint(in.Ranges[0].From, 10) + " AND " + strconv.FormatUint(in.Ranges[0].To-1, 10)
	}
	from := "kfiles(" + strconv.Itoa(len(g.statement.Files)) + ") AS " + alias
	g.statement.Files = append(g.statement.Files, f)
	if in.Marks != nil {
		bigint := datum.Type{Kind: datum.BigInt}
		marks := g.name("m")
		from += " ANTI JOIN " + g.addScan(duck.Scan{Types: []datum.Type{bigint, bigint}, Positions: upTo(2), Open: in.Marks}, nil) + " AS " + marks +
			" ON CAST(" + alias + ".file_index AS BIGINT) = " + marks + ".c0 AND " + alias + ".file_row_number = " + marks + ".c1"
	}
	text := "SELECT " + strings.Join(list, ", ") + " FROM " + from
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	return text
}
