package live

import (
	"context"
	"errors"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

const (
	// pendingMost and pendingBytes bound the changes that wait for a fold. Beyond
	// them the rows are read again.
	pendingMost  = 16_384
	pendingBytes = 4 << 20
	// noteTimes is how often a run looks for news of the ring that keeps growing.
	noteTimes = 4
)

// errAgain says that a result is to be run once more, in a view of its own.
var errAgain = errors.New("the result is run again")

// folding is the part of a result that is kept while rows come and go. What is
// not known of a commit, because it was too large, fell out of the ring or
// changed a definition, has the rows read again. Guarded by results.mu, but that
// the worker which has the result uses the fold without it.
type folding struct {
	fold       Fold   // nil for none
	folded     uint64 // the position that it is at
	foldBytes  int64  // what it takes of the account
	unfoldable bool   // it takes too much, or has met values that it cannot keep
	steps      bool   // the fold, and not the statement, gives the result of this round
	// pending are changes behind it, in their order, but for those before lost: it
	// is the position of the last commit of which the changes are not known.
	pending      []command.Change
	pendingBytes int64
	lost         uint64
}

// pend notes a change that may concern a fold, which there is or will be. w.mu
// is held.
func (r *result) pend(position uint64, ch *command.Change) {
	if r.o.Fold == nil || r.unfoldable {
		return
	}
	r.pendingBytes += pendingCost(ch)
	if len(r.pending) == pendingMost || r.pendingBytes > pendingBytes {
		r.lose(position)
		return
	}
	r.pending = append(r.pending, *ch)
	r.pending[len(r.pending)-1].Position = position
}

func pendingCost(ch *command.Change) int64 { return changeCost + int64(len(ch.Row)+len(ch.Old)) }

// lose notes that the changes of a commit are not known. w.mu is held.
func (r *result) lose(position uint64) {
	r.pending, r.pendingBytes = nil, 0
	r.lost = max(r.lost, position)
}

// current reports whether pending leads on from the fold. w.mu is held.
func (r *result) current() bool { return r.fold != nil && r.lost <= r.folded }

// unfold drops a fold. w.mu is held.
func (w *results) unfold(r *result) {
	w.mu.folded -= r.foldBytes
	r.fold, r.foldBytes = nil, 0
}

// begin decides which position a round is brought to, and who waits for it. That
// is the one of the view: folds follow when all up to there has been noted. The
// view may be ahead of the ring by what is being published: a round of folds goes
// as far as is known then, and any other is run.
func (w *results) begin(round []*result, v *relation.View) (position uint64, waiting [][]chan error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	noted := w.noted()
	position = v.Position()
	enough := noted > 0
	for _, r := range round {
		if r.definitions != v.DefinitionsVersion() {
			w.unfold(r)
		}
		enough = enough && r.current() && len(r.waiters) == 0 && noted >= r.viewed && noted >= r.folded
	}
	if enough {
		position = min(position, noted)
	}
	for _, r := range round {
		waiting = append(waiting, r.waiters)
		r.waiters, r.viewed = nil, position
		r.steps = r.current() && noted >= position && position >= r.folded
	}
	return position, waiting
}

// noted notes what the ring has and returns the position up to which all is
// known, 0 when there is always more. w.mu is held.
func (w *results) noted() uint64 {
	for range noteTimes {
		for w.noteMore(^uint64(0)) {
		}
		if at := w.hub.ring.handled(w.hub.o.Shards); at > 0 {
			return at
		}
	}
	return 0
}

// collect gathers the rows of a result: from its fold, from one that it begins,
// or by running the statement.
func (w *results) collect(ctx context.Context, r *result, v *relation.View, c *collecting) error {
	if r.steps {
		f, err := w.step(r, c)
		if err == nil {
			w.hub.counters.folds.Add(1)
			return f.Each(ctx, c.row)
		}
		if c.state.position != v.Position() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.enqueue(r)
			return errAgain
		}
	}
	w.hub.counters.runs.Add(1)
	f, err := w.beginFold(ctx, r, v, c.o)
	switch {
	case err != nil:
		return err
	case f != nil:
		return f.Each(ctx, c.row)
	}
	return c.o.Run(ctx, v, c.row)
}

// step leads the fold of a result to the position of a state.
func (w *results) step(r *result, c *collecting) (Fold, error) {
	w.mu.Lock()
	if !r.current() {
		w.mu.Unlock()
		return nil, errAgain
	}
	f, from := r.fold, r.folded
	due := r.takePending(c.state.position)
	w.mu.Unlock()
	err := follow(f, c.o, due, from)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case r.fold != f: // nobody subscribes any more
	case err != nil:
		w.unfold(r)
		r.unfoldable = r.unfoldable || fault.Is(err, fault.LimitExceeded)
	default:
		r.folded = c.state.position
		w.account(r)
	}
	return f, err
}

// takePending takes the changes up to a position. w.mu is held.
func (r *result) takePending(position uint64) (due []command.Change) {
	n := 0
	for n < len(r.pending) && r.pending[n].Position <= position {
		r.pendingBytes -= pendingCost(&r.pending[n])
		n++
	}
	due = r.pending[:n:n]
	r.pending = slices.Clone(r.pending[n:])
	return due
}

// follow gives a fold the changes that lie behind a position.
func follow(f Fold, o *ResultOptions, due []command.Change, from uint64) error {
	var e event
	for i := range due {
		if due[i].Position <= from {
			continue
		}
		if err := e.decode(o.Reads[0].Table, &due[i]); err != nil {
			return err
		}
		var was, row []datum.Value
		if due[i].Op != command.Delete {
			row = e.row
		}
		if due[i].Op != command.Insert {
			if was = e.was; !e.hasWas {
				return errAgain
			}
		}
		if err := f.Change(was, row); err != nil {
			return err
		}
	}
	return nil
}

// account notes what the fold of a result takes, and drops it when all of them
// take too much. w.mu is held.
func (w *results) account(r *result) {
	bytes := r.fold.Bytes()
	w.mu.folded += bytes - r.foldBytes
	r.foldBytes = bytes
	if w.mu.bytes+w.mu.folded > w.memory {
		w.forgo(r)
	}
}

// forgo drops the fold of a result for which there is no memory. w.mu is held.
func (w *results) forgo(r *result) {
	w.unfold(r)
	r.unfoldable, r.pending, r.pendingBytes = true, nil, 0
}

// yield drops folds that no worker uses until a state has room: results go
// before what saves reading them. w.mu is held.
func (w *results) yield(bytes int64) {
	for _, r := range w.mu.all {
		if w.mu.bytes+w.mu.folded+bytes <= w.memory {
			return
		}
		if r.fold != nil && !r.busy {
			w.forgo(r)
		}
	}
}

// upkeep says how a subscription is kept: row by row, or as a result that is
// folded or run again. shard.mu is held.
func (sub *subscription) upkeep() string {
	if sub.result == nil {
		return "rows"
	}
	w := sub.conn.hub.results
	w.mu.Lock()
	defer w.mu.Unlock()
	if sub.result.of.fold != nil {
		return "folded"
	}
	return "run"
}

// beginFold reads what a result is made of, if it has no fold and can have one.
// Where that fails nil is returned: running the statement says what is wrong.
func (w *results) beginFold(ctx context.Context, r *result, v *relation.View, o *ResultOptions) (Fold, error) {
	w.mu.Lock()
	if r.fold != nil && !r.current() {
		w.unfold(r)
	}
	able := o.Fold != nil && !r.unfoldable && r.fold == nil
	w.mu.Unlock()
	if !able {
		return nil, nil
	}
	// What is left of the time is for the statement itself.
	building, cancel := context.WithTimeout(ctx, w.hub.o.ReadTimeout/2)
	defer cancel()
	f, err := o.Fold(building, v, w.limits.bytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case fault.Is(err, fault.ServerBusy):
		return nil, err
	case err != nil:
		r.unfoldable, r.pending, r.pendingBytes = true, nil, 0
		return nil, nil
	}
	if r.lost <= v.Position() && len(r.subs) > 0 {
		r.fold, r.folded = f, v.Position()
		r.takePending(r.folded)
		w.account(r)
	}
	return f, nil
}
