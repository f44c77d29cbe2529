package plan

import (
	"crypto/rand"
	"strconv"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Env is what one execution of a bound statement may see besides rows. It is
// used by one goroutine at a time. The caller fills the exported fields; an
// executor works on a prepared copy.
type Env struct {
	// Params are the values as the caller has them: $1 to $n first, then the
	// automatic parameters.
	Params []datum.Value
	// Now is the one moment of the statement in microseconds since 1970.
	Now int64
	// User, Role and Namespace are those in effect, under EXECUTE AS those of
	// the target.
	User      schema.UserID
	Role      schema.Role
	Namespace string
	// Path are the namespaces in which unqualified names are looked up, in order,
	// Namespace among them; nil is Namespace alone.
	Path []string
	// NextID draws a value for SNOWFLAKE_ID.
	NextID func() int64
	// Sequence draws from sequences; nil where there are none.
	Sequence Sequencer
	// Entropy fills bytes with chance; nil means the system's source.
	Entropy func([]byte)
	// Version is what VERSION() adds to the product's name.
	Version string
	// Variables are the settings that the session has chosen; nil for none.
	Variables Variables
	// Backend is the number of the session for PostgreSQL's clients; 0 is
	// BackendPID.
	Backend int
	// Files are what came with the request for FILE("…"); nil when it has no place
	// for files.
	Files Files
	// Objects answers questions about pg_catalog; nil knows nothing.
	Objects Objects

	prepared []datum.Value
	cells    []Cell
	built    int // bytes that functions have built for the row, and held
	held     int // those of them that cells keep
	patterns patterns
}

// Cell holds what an executor computes once per execution.
type Cell struct {
	Done  bool
	Value datum.Value
	Err   error
	Any   any
}

// ParamInfo says what one parameter of a statement must be.
type ParamInfo struct {
	// Source is the index in Env.Params. A parameter that is used as two types
	// appears twice.
	Source int
	// Automatic tells a literal that became a parameter from $n.
	Automatic bool
	// Type is the wanted type; Kind Null takes the value as it is.
	Type datum.Type
	// Loose keeps a number of any numeric type where a number is wanted,
	// because comparison is exact across them.
	Loose bool
	// Column is the column it is compared with, or "".
	Column string
}

// Prepare returns a copy of e for one execution with the parameters converted
// to the types that infos ask for.
func (e *Env) Prepare(infos []ParamInfo) (*Env, error) {
	out := *e
	out.prepared, out.cells, out.patterns = nil, nil, patterns{}
	if len(infos) == 0 {
		return &out, nil
	}
	out.prepared = make([]datum.Value, len(infos))
	for i, info := range infos {
		v, err := e.convert(info)
		if err != nil {
			return nil, err
		}
		out.prepared[i] = v
	}
	return &out, nil
}

// explain names the column and the parameter a fault is about.
func (p ParamInfo) explain(err error) error {
	f := *fault.Of(err)
	if f.Code == fault.Internal {
		return err
	}
	if p.Column != "" {
		f.Message = "column '" + p.Column + "': " + f.Message
	}
	if !p.Automatic {
		f.Message = "parameter $" + strconv.Itoa(p.Source+1) + ": " + f.Message
	}
	return &f
}

// convert gives a parameter the wanted type.
func (p ParamInfo) convert(v datum.Value) (datum.Value, error) {
	from, to := v.Kind(), p.Type.Kind
	switch {
	case v.IsNull() || to == datum.Null:
		return v, nil
	case from == to && to != datum.Decimal && to != datum.Embedding:
		return v, nil
	case p.Loose && isFloat(from) && to == datum.Decimal:
		// 99.99 of a JSON body is meant as the DECIMAL with these digits.
		if d, err := datum.Cast(v, datum.Type{Kind: datum.Decimal}); err == nil {
			return d, nil
		}
		return v, nil
	case p.Loose && from.IsNumeric() && to.IsNumeric():
		return v, nil
	case from == datum.Text && to == datum.Decimal && p.Loose:
		return datum.ParseDecimal(v.Text())
	case from.IsNumeric() && to.IsTemporal():
		return datum.Assign(v, p.Type)
	case from.IsNumeric() && to.IsInteger():
		return wholeNumber(v, p.Type)
	case to == datum.Text:
		return datum.NewText(v.String()), nil
	}
	return datum.Cast(v, p.Type)
}

// wholeNumber refuses to lose a fraction, which a cast would round away.
func wholeNumber(v datum.Value, to datum.Type) (datum.Value, error) {
	n, err := datum.Cast(v, to)
	if err != nil {
		return n, err
	}
	if !datum.Equal(n, v) {
		return n, fault.New(fault.InvalidValue, "invalid value for %s: %s", to, v)
	}
	return n, nil
}

// Param returns the value of a parameter. Without Prepare it is converted anew
// each time.
func (e *Env) Param(p *Param) (datum.Value, error) {
	if p.Index < len(e.prepared) {
		return e.prepared[p.Index], nil
	}
	return e.convert(p.Info)
}

func (e *Env) convert(info ParamInfo) (datum.Value, error) {
	if info.Source >= len(e.Params) {
		return datum.Value{}, fault.New(fault.InvalidParameter, "the statement uses parameter $%d, but %d were given", info.Source+1, len(e.Params))
	}
	v, err := info.convert(e.Params[info.Source])
	if err != nil {
		return v, info.explain(err)
	}
	return v, nil
}

// Reserve makes room for n cells, all empty.
func (e *Env) Reserve(n int) { e.cells = make([]Cell, n) }

// smallBuilt is the size of values that are not worth counting.
const smallBuilt = 4 << 10

// BeginRow forgets what functions have built for the row before. Executors call
// it for each row.
func (e *Env) BeginRow() { e.built = e.held }

// Grown passes on what a function has built, and gives up when the functions of
// one row build more than MaxBuilt together: a statement may have many, and all
// of their values can be alive at a time.
func (e *Env) Grown(v datum.Value, err error) (datum.Value, error) {
	if err != nil || v.Size() <= smallBuilt {
		return v, err
	}
	if e.built += v.Size(); e.built > MaxBuilt {
		return datum.Value{}, fault.New(fault.LimitExceeded, "the functions of one row may build at most %d bytes together", MaxBuilt)
	}
	return v, nil
}

// Built returns how much has been built for the row, for Hold.
func (e *Env) Built() int { return e.built }

// Hold counts what has been built since then for every row that follows.
func (e *Env) Hold(since int) { e.held += e.built - since }

// Cell returns a reserved cell.
func (e *Env) Cell(i int) *Cell { return &e.cells[i] }

func (e *Env) fill(b []byte) {
	if e.Entropy != nil {
		e.Entropy(b)
		return
	}
	_, _ = rand.Read(b) // never fails, by its own promise
}

func (e *Env) now(kind datum.Kind) datum.Value { return datum.NewInt(kind, e.Now) }

// today returns the day of the statement's moment.
func (e *Env) today() int64 {
	return time.UnixMicro(e.Now).UTC().Truncate(24*time.Hour).Unix() / secondsPerDay
}

const (
	secondsPerDay = 86400
	microsPerDay  = secondsPerDay * 1_000_000
)

// maxPatterns is how many compiled patterns one execution keeps of each sort.
const maxPatterns = 64

// patterns are the compiled patterns of one execution: the last one used, which
// is nearly always the one wanted, and a bounded map; and the time zones met.
type patterns struct {
	lastFlags   string
	lastPattern string
	regexp      expression
	regexps     map[string]expression
	lastLike    likeKey
	like        *likePattern
	likes       map[likeKey]*likePattern
	zones       map[string]*time.Location
}
