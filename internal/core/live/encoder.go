package live

import (
	"kalamdb/internal/datum"
)

// The kinds of change frames.
const (
	KindInsert = "insert"
	KindUpdate = "update"
	KindDelete = "delete"
)

// The states of a snapshot, as batch_control says them.
const (
	StatusReady        = "ready"
	StatusLoading      = "loading"
	StatusLoadingBatch = "loading_batch"
)

// Encoder turns what a hub has to say into the bytes of frames; the edge has
// one per wire format. Its methods append to dst, keep nothing of their
// arguments and may be called by many goroutines. Its dynamic type must be
// comparable: connections with equal encoders share bodies.
type Encoder interface {
	// AppendAck appends the frame that acknowledges a subscription.
	AppendAck(dst []byte, a *Ack) []byte
	// AppendRow appends one row as it stands in batches.
	AppendRow(dst []byte, r *Row) ([]byte, error)
	// AppendBatch appends the frame of a batch of rows that AppendRow made.
	AppendBatch(dst []byte, b *Batch) []byte
	// AppendHead appends what begins each change frame of a subscription.
	AppendHead(dst []byte, id string) []byte
	// AppendBody appends the rest of a change frame. It follows the head of any
	// subscription with the same projection.
	AppendBody(dst []byte, c *Change) ([]byte, error)
	// AppendError appends the frame that reports a fault of a subscription.
	AppendError(dst []byte, id string, err error) []byte
	// AppendNotice appends a frame that only clients with the feature get.
	AppendNotice(dst []byte, n *Notice) []byte
}

// Column is one column of a subscription's rows.
type Column struct {
	Name       string
	Type       datum.Type
	PrimaryKey bool // alone, or part of it
	NotNull    bool
	Unique     bool
}

// Row is one row of a frame: values beside their names.
type Row struct {
	Names  []string
	Values []datum.Value
}

func (r *Row) reset() { r.Names, r.Values = r.Names[:0], r.Values[:0] }

func (r *Row) add(name string, v datum.Value) {
	r.Names = append(r.Names, name)
	r.Values = append(r.Values, v)
}

// BatchControl says where a snapshot stands.
type BatchControl struct {
	Number  uint32
	HasMore bool
	Status  string
	LastSeq uint64 // of the last row; only if HasLast
	HasLast bool
}

// Ack acknowledges a subscription.
type Ack struct {
	ID      string
	Control BatchControl
	Columns []Column
	// Result says that the rows are the result of a join, an aggregate, DISTINCT
	// or LIMIT.
	Result bool
}

// Batch is one page of a snapshot.
type Batch struct {
	ID      string
	Control BatchControl
	// Rows are the encoded rows one behind the other; row i ends at Ends[i].
	Rows []byte
	Ends []int
}

// Change is what a change frame says beside its subscription.
type Change struct {
	Kind string // KindInsert, KindUpdate or KindDelete
	// Row is the new row of inserts and updates, Old what it was before, of
	// updates and deletes; else nil.
	Row, Old *Row
}

// Notices.
const (
	// NoticeLagging tells that a subscription has stopped getting changes as
	// they happen; Position is the last one it has had.
	NoticeLagging = "lagging"
	// NoticeResumed tells that it gets them as they happen again; it has had
	// all of them up to Position.
	NoticeResumed = "resumed"
	// NoticeCommit ends the changes of one commit, and the snapshot or difference
	// of the subscription that ID names: everything up to Position has been sent,
	// so that a client may resume there. While a subscription lags
	// its changes come alone, and ID names it.
	NoticeCommit = "commit"
)

// Notice is a frame of an extension.
type Notice struct {
	Kind     string
	ID       string // "" where it concerns the connection
	Position uint64
}

// FrameKind says what a frame is, for whoever writes it.
type FrameKind uint8

// The kinds of frames.
const (
	ReplyFrame  FrameKind = iota // acks and batches
	ChangeFrame                  // changes; the body is shared
	NoticeFrame                  // extensions
	ErrorFrame                   // always uncompressed text
)

// Frame is one message to a client: Head followed by Body. Neither may be
// changed.
type Frame struct {
	Kind       FrameKind
	Head, Body []byte
	sub        *subscription // whose change it is, nil for others
	cursor     *subscription // set in queues only: read for it here
}

// Len returns the length of the message in bytes.
func (f *Frame) Len() int { return len(f.Head) + len(f.Body) }

// frameCost is what an outbox reckons a frame at beside its bytes.
const frameCost = 96

func (f *Frame) cost() int64 { return int64(f.Len()) + frameCost }
