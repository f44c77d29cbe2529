package cold

import (
	"container/list"
	"context"
	"fmt"
	"strconv"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// Reader reads one file. It may be used by many goroutines; each that opened
// it closes it once.
type Reader struct {
	tier    *Tier
	number  uint64
	path    string
	object  objstore.Object
	file    *parquet.File
	version uint32        // of the table when the file was written
	users   int           // guarded by Tier.mu
	gone    bool          // guarded by Tier.mu: closed by its last user
	place   *list.Element // guarded by Tier.mu: in the idle list
}

// Open returns the reader of a file; open ones are shared and kept for a while.
func (t *Tier) Open(st schema.Storage, f schema.File) (*Reader, error) {
	if r := t.acquire(f.Bytes(), nil); r != nil {
		return r, nil
	}
	s, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	object, size, err := t.object(s, f)
	if err != nil {
		return nil, err
	}
	if f.Size > 0 && size != f.Size {
		_ = object.Close() // it was only read
		return nil, fmt.Errorf("cold file %s has %d bytes instead of %d: %w", f.Path, size, f.Size, ErrDamaged)
	}
	file, err := parquet.Open(object, size)
	if err != nil {
		_ = object.Close() // it was only read
		return nil, fmt.Errorf("cold file %s: %w", f.Path, err)
	}
	version, err := strconv.ParseUint(file.Metadata(versionKey), 10, 32)
	if err != nil {
		_ = object.Close() // it was only read
		return nil, fmt.Errorf("cold file %s has no table version: %w", f.Path, ErrDamaged)
	}
	fresh := &Reader{tier: t, number: f.Bytes(), path: f.Path, object: object, file: file, version: uint32(version)}
	r := t.acquire(f.Bytes(), fresh)
	if r != fresh {
		_ = object.Close() // another was faster
	}
	return r, nil
}

// object opens the bytes of a file: its own, or a copy of them when they are in
// an object store.
func (t *Tier) object(s objstore.Bucket, f schema.File) (objstore.Object, int64, error) {
	if _, far := s.(*objstore.Cloud); far {
		return t.copies.open(f, s, t.closeIdle)
	}
	return s.Open(f.Path)
}

// closeIdle closes the reader of a file if nobody uses it, and reports whether
// it did.
func (t *Tier) closeIdle(number uint64) bool {
	t.mu.Lock()
	r, ok := t.mu.open[number]
	if ok = ok && r.users == 0; ok {
		t.drop(r)
	}
	t.mu.Unlock()
	if ok {
		_ = r.object.Close() // it was only read
	}
	return ok
}

// acquire counts a user of an open reader. When there is none, it takes fresh,
// if given.
func (t *Tier) acquire(number uint64, fresh *Reader) *Reader {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.mu.open[number]
	if !ok {
		if r = fresh; r == nil {
			return nil
		}
		t.mu.open[number] = r
	}
	r.users++
	if r.place != nil {
		t.mu.idle.Remove(r.place)
		r.place = nil
	}
	return r
}

// Close gives the reader back.
func (r *Reader) Close() {
	t := r.tier
	var victims []*Reader
	t.mu.Lock()
	r.users--
	switch {
	case r.users > 0:
	case r.gone:
		victims = append(victims, r)
	default:
		r.place = t.mu.idle.PushBack(r)
		for t.mu.idle.Len() > t.options.OpenFiles {
			oldest := t.mu.idle.Front().Value.(*Reader)
			t.drop(oldest)
			victims = append(victims, oldest)
		}
	}
	t.mu.Unlock()
	_ = closeAll(victims) // they were only read
}

// drop takes an idle reader out of the books; Tier.mu is held.
func (t *Tier) drop(r *Reader) {
	if r.place != nil {
		t.mu.idle.Remove(r.place)
		r.place = nil
	}
	delete(t.mu.open, r.number)
}

// forget closes what is open of a file, now or when its last user is done.
func (t *Tier) forget(number uint64) {
	t.cache.forget(number)
	t.statistics.forget(number)
	defer t.copies.forget(number)
	t.mu.Lock()
	r, ok := t.mu.open[number]
	if ok {
		t.drop(r)
		r.gone = true
		ok = r.users == 0
	}
	t.mu.Unlock()
	if ok {
		_ = r.object.Close() // it was only read
	}
}

func closeAll(readers []*Reader) error {
	var first error
	for _, r := range readers {
		if err := r.object.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Rows returns how many rows the file has.
func (r *Reader) Rows() uint64 { return r.file.Rows() }

// RowGroups returns how many row groups the file has.
func (r *Reader) RowGroups() int { return r.file.RowGroups() }

// projection says where the wanted columns of a definition come from.
type projection struct {
	columns []int         // of the file
	places  []int         // in a row, for each of columns
	casts   []*datum.Type // the type to convert to, nil for none
	absent  []absent
}

// absent is a column that the file does not have.
type absent struct {
	place int
	value datum.Value
}

// project matches columns by id.
func (r *Reader) project(def *schema.Table, columns []int) (projection, error) {
	if columns == nil {
		columns = make([]int, len(def.Columns))
		for i := range columns {
			columns[i] = i
		}
	}
	p := projection{columns: make([]int, 0, len(columns)), places: make([]int, 0, len(columns)), casts: make([]*datum.Type, 0, len(columns))}
	for _, place := range columns {
		c := &def.Columns[place]
		in := r.file.Column(c.ID)
		if in < 0 {
			v, err := c.Absent(r.version)
			if err != nil {
				return projection{}, fmt.Errorf("column %q: %w", c.Name, err)
			}
			p.absent = append(p.absent, absent{place, v})
			continue
		}
		var cast *datum.Type
		if stored := r.file.Type(in); c.System == schema.NotSystem && (stored.Kind != c.Type.Kind || stored.Scale != c.Type.Scale) {
			cast = &c.Type
		}
		p.columns, p.places, p.casts = append(p.columns, in), append(p.places, place), append(p.casts, cast)
	}
	return p, nil
}

// finish fills absent columns and converts widened ones.
func (p *projection) finish(row []datum.Value) error {
	for _, a := range p.absent {
		row[a.place] = a.value
	}
	for i, t := range p.casts {
		if t == nil || row[p.places[i]].IsNull() {
			continue
		}
		v, err := datum.Cast(row[p.places[i]], *t)
		if err != nil {
			return err
		}
		row[p.places[i]] = v
	}
	return nil
}

// Scan delivers a range of rows in order. It belongs to one goroutine and must
// be closed before its Reader.
type Scan struct {
	reader     *Reader
	run        *parquet.Run
	projection projection
	next       uint64
	group      int
}

// Scan begins to read rows [from, to) as a definition shows them. Only the
// wanted positions are filled; nil means all, _seq and _deleted included.
func (r *Reader) Scan(def *schema.Table, columns []int, from, to uint64) (*Scan, error) {
	p, err := r.project(def, columns)
	if err != nil {
		return nil, fmt.Errorf("cold file %s: %w", r.path, err)
	}
	return &Scan{reader: r, run: r.file.Run(p.columns, from, to), projection: p, next: from, group: -1}, nil
}

// Next fills rows with the next ones and returns the number of the first and
// how many there are, 0 at the end.
func (s *Scan) Next(ctx context.Context, rows [][]datum.Value) (first uint64, n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	first = s.next
	if n, err = s.run.Next(rows, s.projection.places); err != nil {
		return 0, 0, fmt.Errorf("cold file %s: %w", s.reader.path, err)
	}
	for _, row := range rows[:n] {
		if err := s.projection.finish(row); err != nil {
			return 0, 0, fmt.Errorf("cold file %s: %w", s.reader.path, err)
		}
	}
	if group := s.run.Group(); n > 0 && group != s.group {
		s.group = group
		s.reader.tier.stats.rowGroups.Add(1)
	}
	s.next += uint64(n)
	return first, n, nil
}

// Close releases what the scan holds. It may be called more than once.
func (s *Scan) Close() { s.run.Close() }

// Fetch reads single rows: rows[i] is filled with row numbers[i]. Each page
// that holds one is decoded once and kept in the cache; ascending numbers are
// fastest. Only the wanted positions are filled; nil means all.
func (r *Reader) Fetch(ctx context.Context, def *schema.Table, columns []int, numbers []uint64, rows [][]datum.Value) error {
	p, err := r.project(def, columns)
	if err != nil {
		return fmt.Errorf("cold file %s: %w", r.path, err)
	}
	groups := groupSet{}
	for i, column := range p.columns {
		if err := r.fetchColumn(ctx, column, p.places[i], numbers, rows, groups); err != nil {
			return fmt.Errorf("cold file %s: %w", r.path, err)
		}
	}
	r.tier.stats.rowGroups.Add(int64(len(groups)))
	for _, row := range rows[:len(numbers)] {
		if err := p.finish(row); err != nil {
			return fmt.Errorf("cold file %s: %w", r.path, err)
		}
	}
	return nil
}

// groupSet counts the row groups of which a page had to be read.
type groupSet map[int]struct{}

// fetchColumn fills one column of the wanted rows.
func (r *Reader) fetchColumn(ctx context.Context, column, place int, numbers []uint64, rows [][]datum.Value, groups groupSet) error {
	var page parquet.Page
	for i, number := range numbers {
		if number < page.First || number >= page.First+uint64(len(page.Values)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if page, err = r.page(column, number, groups); err != nil {
				return err
			}
			if number < page.First || number >= page.First+uint64(len(page.Values)) {
				return fmt.Errorf("page of row %d does not hold it: %w", number, ErrDamaged)
			}
		}
		rows[i][place] = page.Values[number-page.First]
	}
	return nil
}

// page returns the page of a column that holds a row.
func (r *Reader) page(column int, row uint64, groups groupSet) (parquet.Page, error) {
	id, err := r.file.Locate(column, row)
	if err != nil {
		return parquet.Page{}, err
	}
	key := pageKey{r.number, id}
	if page, ok := r.tier.cache.get(key); ok {
		r.tier.stats.pagesCached.Add(1)
		return page, nil
	}
	page, err := r.file.Read(id)
	if err != nil {
		return parquet.Page{}, err
	}
	r.tier.stats.pagesRead.Add(1)
	groups[id.Group] = struct{}{}
	r.tier.cache.put(key, page)
	return page, nil
}
