package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"kalamdb/internal/fault"
)

// metrics are the ways to measure embeddings, by each of their spellings.
var metrics = map[string]string{"cosine": "cosine", "l2": "l2", "dot": "dot", "ip": "dot"}

// metric reads what stands behind USING.
func (p *statementParser) metric() (string, error) {
	n, err := p.name()
	if err != nil {
		return "", err
	}
	m := metrics[n.Name]
	if m == "" {
		return "", fault.At(fault.InvalidDefinition, n.Offset, "Unknown metric '%s' of a vector index: use COSINE, L2 or DOT", shortened(n.Name))
	}
	return m, nil
}

// vectorMethod reports whether the rest of CREATE INDEX says USING a metric
// before its columns.
func (p *statementParser) vectorMethod() bool {
	for i := p.i; i+1 < len(p.toks) && !p.punctAt(i, '('); i++ {
		if isWord(p.src, p.toks[i], "USING") {
			return metrics[strings.ToLower(p.src[p.toks[i+1].start:p.toks[i+1].end])] != ""
		}
	}
	return false
}

// createVectorIndex reads what follows CREATE [VECTOR] INDEX: [name] ON t [USING
// metric] (column).
func (p *statementParser) createVectorIndex(unique bool) (Statement, error) {
	if unique {
		return nil, fault.At(fault.InvalidDefinition, p.offset(), "a vector index cannot be UNIQUE")
	}
	st := &CreateIndex{IfNotExists: p.ifNotExists(), Metric: "cosine"}
	var err error
	if !p.at("ON") {
		if st.Index, err = p.name(); err != nil {
			return nil, err
		}
	}
	if st.Table, err = p.indexedTable(); err != nil {
		return nil, err
	}
	if err = p.usingMetric(st); err != nil {
		return nil, err
	}
	return st, p.vectorColumn(st)
}

// alterCreateVector reads what follows ALTER TABLE t: CREATE [VECTOR] INDEX
// column [USING metric].
func (p *statementParser) alterCreateVector(table *AlterTable) (Statement, error) {
	p.accept("CREATE")
	p.accept("VECTOR")
	p.accept("INDEX")
	st := &CreateIndex{Table: table.Table, IfExists: table.IfExists, IfNotExists: p.ifNotExists(), Metric: "cosine"}
	column, err := p.name()
	if err != nil {
		return nil, err
	}
	st.Columns = []Name{column}
	if err = p.usingMetric(st); err != nil {
		return nil, err
	}
	if p.punct('(') {
		// A name, and the column in brackets behind the metric.
		st.Index = column
		return st, p.vectorColumn(st)
	}
	return st, p.endOfIndex()
}

// usingMetric reads [USING metric].
func (p *statementParser) usingMetric(st *CreateIndex) (err error) {
	if p.accept("USING") {
		st.Metric, err = p.metric()
	}
	return err
}

// vectorColumn reads (column) at the end of the definition of a vector index.
func (p *statementParser) vectorColumn(st *CreateIndex) (err error) {
	if st.Columns, err = p.nameList(); err != nil {
		return err
	}
	if len(st.Columns) != 1 {
		return fault.At(fault.InvalidDefinition, p.toks[p.i-1].start, "a vector index takes one column")
	}
	return p.endOfIndex()
}

// alterDropVector reads what follows ALTER TABLE t DROP VECTOR INDEX.
func (p *statementParser) alterDropVector(table *AlterTable) (Statement, error) {
	st := &DropIndex{Table: table.Table, TableExists: table.IfExists, IfExists: p.ifExists(), Vector: true}
	var err error
	if st.Index, err = p.name(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// VectorSearch is the function in FROM whose first argument names a table.
const VectorSearch = "vector_search"

// searched returns the table that a call of vector_search names; ok is false for
// any other call, and for one whose first argument is no text.
func (c *converter) searched(f *pg.FuncCall) (Name, bool) {
	names := f.GetFuncname()
	if len(names) == 0 || len(f.GetArgs()) == 0 || foldName(names[len(names)-1].GetString_().GetSval()) != VectorSearch {
		return Name{}, false
	}
	k := f.GetArgs()[0].GetAConst()
	if k.GetSval() == nil {
		return Name{}, false
	}
	n := Name{Name: k.GetSval().GetSval(), Offset: c.at(k.GetLocation())}
	n.Name = strings.TrimPrefix(n.Name, catalogName+".")
	if namespace, table, qualified := strings.Cut(n.Name, "."); qualified {
		n.Namespace, n.Name = foldName(namespace), table
	}
	n.Name = foldName(n.Name)
	return n, true
}
