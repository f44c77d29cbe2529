package apply

import (
	"sync"
	"sync/atomic"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
)

// What commands without rows count for in the queue.
const (
	rowOverhead     = 64
	commandOverhead = 512
)

// request is a command on its way.
type request struct {
	command *command.Command
	bytes   int64
	done    chan struct{} // one token when receipt and err are set
	receipt command.Receipt
	err     error
	// announced makes the changes of what is announced; nil for a command.
	announced func(first uint64) []command.Change
	// notified says that the command's OnApplied has been called.
	notified bool
}

// notify calls OnApplied, once.
func (r *request) notify() {
	if !r.notified && r.command.OnApplied != nil {
		r.command.OnApplied()
	}
	r.notified = true
}

// queue holds the commands that wait for the builder.
type queue struct {
	commands chan *request
	closing  chan struct{} // closed when no command is taken any more
	maxBytes int64
	bytes    atomic.Int64 // of small commands
	large    atomic.Int64 // of large ones
	mu       struct {
		sync.RWMutex // held for reading while sending, so that nothing comes after close
		closed       bool
	}
	free sync.Pool // of requests
}

func newQueue(commands int, bytes int64) queue {
	return queue{commands: make(chan *request, commands), closing: make(chan struct{}), maxBytes: bytes}
}

// enqueue adds a command or refuses it: SERVER_BUSY when the queue is full,
// SHUTTING_DOWN when it is closed.
func (q *queue) enqueue(c *command.Command, bytes int64, announced func(uint64) []command.Change) (*request, error) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.mu.closed {
		return nil, fault.New(fault.ShuttingDown, "the server is stopping and takes no more changes")
	}
	counter := q.counter(bytes)
	if waiting := counter.Add(bytes); waiting > q.maxBytes && waiting > bytes {
		counter.Add(-bytes)
		return nil, fault.New(fault.ServerBusy, "%d bytes of changes are waiting already (commit.queue_bytes); try again", waiting-bytes)
	}
	r, _ := q.free.Get().(*request)
	if r == nil {
		r = &request{done: make(chan struct{}, 1)}
	}
	r.command, r.bytes, r.announced = c, bytes, announced
	select {
	case q.commands <- r:
		return r, nil
	default:
		counter.Add(-bytes)
		q.recycle(r)
		return nil, fault.New(fault.ServerBusy, "%d changes are waiting already (commit.queue_commands); try again", cap(q.commands))
	}
}

// counter returns what a command of a size is counted in. Those that would fill a
// quarter of the queue share a bound among themselves, so that one that fills it
// all shuts out no small ones.
func (q *queue) counter(bytes int64) *atomic.Int64 {
	if bytes > q.maxBytes/4 {
		return &q.large
	}
	return &q.bytes
}

// take returns the next command, waiting for it, or nil when the queue is
// closed and empty.
func (q *queue) take() *request {
	select {
	case r := <-q.commands:
		return q.taken(r)
	default:
	}
	select {
	case r := <-q.commands:
		return q.taken(r)
	case <-q.closing:
		return q.tryTake()
	}
}

// tryTake returns the next command if one is waiting, or nil.
func (q *queue) tryTake() *request {
	select {
	case r := <-q.commands:
		return q.taken(r)
	default:
		return nil
	}
}

func (q *queue) taken(r *request) *request {
	q.counter(r.bytes).Add(-r.bytes)
	return r
}

// close refuses all that comes after.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.mu.closed {
		q.mu.closed = true
		close(q.closing)
	}
}

func (q *queue) load() (commands int, bytes int64) {
	return len(q.commands), q.bytes.Load() + q.large.Load()
}

// recycle gives back a request that nobody waits for any more.
func (q *queue) recycle(r *request) {
	*r = request{done: r.done}
	q.free.Put(r)
}

// measure returns the rows of a command and about its bytes in memory.
func measure(body command.Body) (rows int, bytes int64) {
	bytes = commandOverhead
	switch b := body.(type) {
	case *command.Write:
		return measureWrite(b)
	case command.Write:
		return measureWrite(&b)
	case command.Adopt:
		bytes += measureAdopt(b.Rows)
	case *command.Adopt:
		bytes += measureAdopt(b.Rows)
	case command.AdoptPacked:
		bytes += measurePacked(&b)
	case *command.AdoptPacked:
		bytes += measurePacked(b)
	case command.Move:
		bytes += measureMove(&b)
	case *command.Move:
		bytes += measureMove(b)
	case command.FillIndex:
		bytes += measureFill(&b)
	case *command.FillIndex:
		bytes += measureFill(b)
	case command.PurgeRows:
		bytes += measurePurge(&b)
	case *command.PurgeRows:
		bytes += measurePurge(b)
	}
	return 0, bytes
}

func measureTrail(t *command.Trail) (bytes int64) {
	if t == nil {
		return 0
	}
	for i := range t.Entries {
		bytes += int64(commandOverhead + len(t.Entries[i].Target) + len(t.Entries[i].Details))
	}
	return bytes
}

func measureWrite(b *command.Write) (rows int, bytes int64) {
	bytes = commandOverhead
	for i := range b.Tables {
		list := b.Tables[i].Rows
		rows += len(list)
		for j := range list {
			r := &list[j]
			bytes += int64(rowOverhead + len(r.Scope) + len(r.Key) + len(r.Row) + len(r.Old))
			for k := range r.Index {
				bytes += int64(entryOverhead + len(r.Index[k].Old) + len(r.Index[k].New))
			}
		}
	}
	return rows, bytes
}

func measureAdopt(rows []command.AdoptedRow) (bytes int64) {
	for i := range rows {
		bytes += int64(rowOverhead + len(rows[i].Key))
	}
	return bytes
}

func measurePacked(b *command.AdoptPacked) (bytes int64) {
	for i := range b.Parts {
		bytes += commandOverhead + measureAdopt(b.Parts[i].Rows)
	}
	return bytes
}

func measureMove(b *command.Move) (bytes int64) {
	for i := range b.Sources {
		for j := range b.Sources[i].Rows {
			bytes += int64(rowOverhead + len(b.Sources[i].Rows[j].Key))
		}
	}
	return bytes
}

func measurePurge(b *command.PurgeRows) (bytes int64) {
	for _, key := range b.Keys {
		bytes += int64(rowOverhead + len(key))
	}
	return bytes
}
