package parse

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/fault"
)

// Subscribe is SUBSCRIBE TO: it asks what a client has to send to get a live
// query.
type Subscribe struct {
	// Text is the SELECT, as it was written or made of a table and its WHERE.
	Text string
	// Bare are the places in Text of tables that are named without a namespace,
	// in ascending order.
	Bare      []Name
	LastRows  GivenNumber
	BatchSize GivenNumber
	From      GivenNumber
}

// GivenNumber is the value of an option that need not be given.
type GivenNumber struct {
	N     uint64
	Given bool
}

func (*Subscribe) statement() {}

// subscribe reads SUBSCRIBE TO [ns.]table [WHERE …] [OPTIONS (…)], or a SELECT in
// place of the table.
func (p *statementParser) subscribe() (Statement, error) {
	p.i++
	if err := p.expect("TO"); err != nil {
		return nil, err
	}
	p.slots = nil // the text is given back as it is
	st := &Subscribe{}
	end, err := p.subscribeOptions(st)
	if err != nil {
		return nil, err
	}
	p.toks = p.toks[:end]
	for _, t := range p.toks[p.i:] {
		if t.kind == tokParam {
			return nil, fault.At(fault.InvalidOperation, t.start, "SUBSCRIBE TO takes no parameters; send them with the subscription over the WebSocket")
		}
	}
	from := p.offset()
	if !p.at("SELECT") && !p.at("WITH") {
		return st, p.subscribedTable(st)
	}
	inner, err := p.grammar()
	if err != nil {
		return nil, err
	}
	query, ok := inner.(*Select)
	if !ok {
		return nil, syntaxError(p.src, from, "only SELECT can be subscribed to")
	}
	st.Text = p.src[from:p.toks[len(p.toks)-1].end]
	for _, n := range query.Tables {
		if n.Namespace == "" && n.Offset >= from {
			st.Bare = append(st.Bare, Name{Name: n.Name, Offset: n.Offset - from})
		}
	}
	slices.SortFunc(st.Bare, func(a, b Name) int { return cmp.Compare(a.Offset, b.Offset) })
	return st, nil
}

// subscribedTable reads a table and its WHERE.
func (p *statementParser) subscribedTable(st *Subscribe) error {
	from := p.offset()
	table, err := p.qualified()
	if err != nil {
		return err
	}
	if !p.ended() && !p.at("WHERE") {
		return p.unexpected()
	}
	const head = "SELECT * FROM "
	st.Text = head + p.src[from:p.toks[len(p.toks)-1].end]
	if table.Namespace == "" {
		st.Bare = []Name{{Name: table.Name, Offset: len(head)}}
	}
	return nil
}

// subscribeOptions reads OPTIONS (…) at the end and returns where the statement
// ends without it.
func (p *statementParser) subscribeOptions(st *Subscribe) (end int, err error) {
	start := p.i
	defer func() { p.i = start }()
	for i := len(p.toks) - 1; i > start; i-- {
		if !p.atFrom(i, "OPTIONS") || !p.punctAt(i+1, '(') {
			continue
		}
		p.i = i + 1
		options, err := p.options()
		if err != nil {
			return 0, err
		}
		for _, o := range options {
			if err := st.option(&o); err != nil {
				return 0, err
			}
		}
		return i, p.end()
	}
	return len(p.toks), nil
}

// option takes one option.
func (st *Subscribe) option(o *Option) error {
	target, most := &st.From, uint64(math.MaxUint64)
	switch o.Name {
	case "LAST_ROWS":
		target, most = &st.LastRows, math.MaxUint32
	case "BATCH_SIZE":
		target, most = &st.BatchSize, math.MaxInt32
	case "FROM", "FROM_SEQ_ID":
	default:
		return fault.At(fault.InvalidInput, o.Offset, "unknown option %s; SUBSCRIBE TO takes last_rows, batch_size and from", strings.ToLower(shortened(o.Name)))
	}
	n, err := strconv.ParseUint(o.Value, 10, 64)
	if err != nil || n > most || o.Null {
		return fault.At(fault.InvalidInput, o.Offset, "option %s must be a whole number from 0 to %d", strings.ToLower(o.Name), most)
	}
	if target.Given {
		return fault.At(fault.InvalidInput, o.Offset, "option %s is given twice", strings.ToLower(o.Name))
	}
	*target = GivenNumber{n, true}
	return nil
}
