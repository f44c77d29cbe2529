package api

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
)

const (
	// closeWait is what a client gets to take what is due and to answer a
	// close.
	closeWait = time.Second
	// drainBytes bounds what is read and thrown away meanwhile.
	drainBytes = 16 << 20
	// queuedRequests is how many requests of a client may wait for the one
	// being handled; then nothing more is read from it.
	queuedRequests = 64
	// queuedBytes bounds what these take; one that alone is larger waits alone.
	queuedBytes = 256 << 10
	// maxSubscriptionID bounds the name of a subscription.
	maxSubscriptionID = 1024
)

// Names that error frames carry instead of a subscription.
const (
	nameProtocol  = "protocol"
	nameRateLimit = "rate_limit"
	nameSubscribe = "subscribe"
	nameInvalid   = "invalid_subscription"
)

// socket is one client connection after its upgrade.
type socket struct {
	w       *WebSockets
	c       net.Conn
	hello   hello
	in      *frameReader
	session *auth.Session
	live    *core.LiveConn
	gzip    bool
	// ctx ends when the socket does; requests run under it.
	ctx    context.Context
	cancel context.CancelFunc
	rate   bucket

	// heard is when the client last sent a frame, taken when it last took bytes
	// of a data frame; nanoseconds.
	heard, taken atomic.Int64
	// ends is when the token of the session is over; nanoseconds, 0 for never.
	ends atomic.Int64
	// closeBy bounds writes from the moment the end has begun; nanoseconds, 0
	// before.
	closeBy atomic.Int64
	// writing says whether there is a writer; see wake.
	writing atomic.Int32
	// writer is over when nothing more will be written.
	writer sync.WaitGroup
	// beat is set when timer has fired: a ping may be due, or patience over.
	beat  atomic.Bool
	timer *time.Timer
	// pingAt is when the next ping is due. It belongs to the writer.
	pingAt time.Time

	mu struct {
		sync.Mutex
		ended   bool
		code    uint16
		why     string
		talking bool   // wake starts a writer
		pong    []byte // payload of the newest ping, nil when it is answered
	}

	work struct {
		sync.Mutex
		queue   []clientMessage
		bytes   int64 // what they take
		running bool
		space   chan struct{} // closed when one has been taken, nil when nobody waits
	}
	workers sync.WaitGroup

	// over says that nothing more is read; answered that the client has closed
	// its side, usable that what it sends next could be read. They belong to the
	// goroutine that reads.
	over, answered, usable bool
}

// bucket is the message rate of one socket.
type bucket struct {
	tokens float64
	at     time.Time
}

// take takes one token of a bucket that holds and refills perSecond.
func (b *bucket) take(perSecond int, now time.Time) bool {
	full := float64(perSecond)
	if b.at.IsZero() {
		b.tokens = full
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(full, b.tokens+passed*full)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// serve speaks with a client until one of the two ends it. Its own goroutine
// only waits for the client's next word: whatever needs stack is done aside, so
// that a socket that waits holds as little as one can.
func (w *WebSockets) serve(c net.Conn, h hello) {
	s := &socket{
		w: w, c: c, hello: h,
		in: newFrameReader(c, w.o.MaxMessage),
	}
	s.in.ahead, s.hello.rest = h.rest, nil
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if !w.enter(s) {
		s.write(appendClose(nil, closeGoingAway, "Server shutting down"))
		s.cancel()
		s.hangUp()
		return
	}
	s.attend()
}

// attend welcomes the client, listens, and takes leave.
func (s *socket) attend() {
	s.aside((*socket).welcome)
	wait := readiness(s.c)
	for !s.over {
		if s.in.rest() {
			wait.await()
		}
		s.aside((*socket).listen)
	}
	s.aside((*socket).leave)
}

// aside runs a step on a goroutine of its own and waits for it.
func (s *socket) aside(step func(*socket)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.recover("socket handler panicked")
		step(s)
	}()
	<-done
}

// recover ends the socket whose handler panics, and nothing else.
func (s *socket) recover(what string) {
	if p := recover(); p != nil {
		s.w.o.Logger.Error(what, "user", userOf(s.session), "panic", p, "stack", string(debug.Stack()))
		s.over = true
		s.end(closeInternal, "Internal error")
	}
}

// welcome authenticates the client; then frames are delivered to it.
func (s *socket) welcome() {
	s.w.stats.accepted.Add(1)
	s.hear()
	s.taken.Store(time.Now().UnixNano())
	if !s.authenticate() {
		s.over = true
		return
	}
	s.hello.token = ""
	s.talk()
}

// hear notes that the client has sent a frame.
func (s *socket) hear() {
	s.heard.Store(time.Now().UnixNano())
	if s.live != nil {
		s.live.Touch()
	}
}

// talk begins to deliver.
func (s *socket) talk() {
	encoder := JSONFrames()
	if s.hello.wish.packed() {
		encoder = packedFrames{}
	}
	s.live = s.w.o.DB.Hub().Connect(core.LiveConnOptions{
		ID: s.session.RequestID, Address: s.session.IP, User: s.session.UserID, Encoder: encoder,
		Lagging: s.hello.wish.has(featureLagging), Commits: s.hello.wish.has(featureCommits),
		Ready: s.wake, Presence: true, Session: s.hello.session,
	})
	s.pingAt = time.Now().Add(s.w.o.Heartbeat)
	s.timer = time.AfterFunc(min(s.w.o.Heartbeat, s.w.o.ClientTimeout), s.tick)
	s.mu.Lock()
	s.mu.talking = true
	s.mu.Unlock()
	s.writer.Add(1)
	s.writing.Store(writerIdle)
	s.wake() // for what has happened before
}

// leave waits until nothing is written any more and gives up what the socket
// has.
func (s *socket) leave() {
	defer s.w.leave(s)
	defer s.hangUp()
	defer s.cancel()
	if s.live == nil {
		return
	}
	defer s.live.Close()
	defer s.workers.Wait()
	defer s.timer.Stop()
	s.writer.Wait()
	if !s.answered {
		s.drain(s.usable)
	}
}

// hangUp closes the connection and says so.
func (s *socket) hangUp() {
	_ = s.c.Close() // what was not sent is nobody's loss
	if s.hello.release != nil {
		s.hello.release()
	}
}

// end begins the end of the socket: what is due is written, then a close frame.
// Only the first call counts.
func (s *socket) end(code uint16, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ended {
		return
	}
	s.mu.ended, s.mu.code, s.mu.why = true, code, why
	by := time.Now().Add(closeWait)
	s.closeBy.Store(by.UnixNano())
	_ = s.c.SetWriteDeadline(by) // a broken connection shows at the next write
	if !s.mu.talking {
		_ = s.c.SetReadDeadline(time.Now()) // the reader is alone and ends it
		return
	}
	s.wake()
}

// lastWords says how the socket ends.
func (s *socket) lastWords() (code uint16, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.code, s.mu.why
}

// hasEnded reports whether the end has begun.
func (s *socket) hasEnded() bool { return s.closeBy.Load() != 0 }

// listen reads what the client has sent, and notes when that was the last.
func (s *socket) listen() {
	for !s.over {
		m, err := s.in.next()
		var bad *broken
		switch {
		case errors.As(err, &bad):
			if bad.tooLarge {
				s.fail(nameProtocol, socketTooLarge, "Message too large")
			}
			s.over = true
			s.end(bad.code, bad.reason)
			return
		case err != nil:
			s.over, s.answered = true, true
			if !s.hasEnded() {
				s.end(0, "") // nobody is there to read a close frame
			}
			return
		}
		s.hear()
		switch {
		case m.op == opClose:
			s.over, s.answered, s.usable = true, true, true
			s.end(m.code, "")
			return
		case s.hasEnded():
			s.over, s.usable = true, true
			return
		}
		s.take(m)
		if s.in.rest() {
			return
		}
	}
}

// take acts on one message or control frame.
func (s *socket) take(m message) {
	switch m.op {
	case opPing:
		s.mu.Lock()
		s.mu.pong = append([]byte{}, m.data...)
		s.mu.Unlock()
		s.wake()
	case opText, opBinary:
		s.takeData(m.data, m.op == opBinary)
	}
}

// takeData acts on a message that is JSON, or MessagePack.
func (s *socket) takeData(data []byte, binary bool) {
	if binary && !s.hello.wish.packed() {
		s.fail(nameProtocol, socketBadData, "Binary not supported")
		return
	}
	s.w.stats.messages.Add(1)
	if !s.rate.take(s.w.o.MessagesPerSecond, time.Now()) {
		s.fail(nameRateLimit, socketRateLimit, "Too many messages")
		return
	}
	if binary {
		text, err := unpacked(data, s.w.o.MaxMessage)
		if err != nil {
			s.fail(nameProtocol, socketBadData, "Invalid MessagePack: "+err.Error())
			return
		}
		data = text
	}
	m, err := decodeMessage(data)
	if err != nil {
		s.end(closeInternal, "Invalid message: "+err.Error())
		return
	}
	switch m.kind {
	case typePing:
	case typeAuthenticate:
		s.renew(&m)
	default:
		m.size = min(int64(len(data)), queuedBytes)
		s.enqueue(m)
	}
}

// fail sends an error frame. It waits while the outbox is full, and so does the
// client then.
func (s *socket) fail(id, code, words string) {
	s.send(core.LiveError, appendSocketError(nil, id, code, words))
}

func (s *socket) send(kind frameKind, body []byte) {
	// The socket ends when its context does, so nobody misses the frame.
	_ = s.live.Send(s.ctx, core.LiveFrame{Kind: kind, Body: body})
}

// enqueue lets a request be handled behind those before it, by a goroutine that
// lives while there are any. So the reader goes on answering pings. It waits
// while too many wait already.
func (s *socket) enqueue(m clientMessage) {
	for {
		s.work.Lock()
		if n := len(s.work.queue); n == 0 || n < queuedRequests && s.work.bytes+m.size <= queuedBytes {
			s.work.queue = append(s.work.queue, m)
			s.work.bytes += m.size
			if !s.work.running {
				s.work.running = true
				s.workers.Go(s.handleAll)
			}
			s.work.Unlock()
			return
		}
		if s.work.space == nil {
			s.work.space = make(chan struct{})
		}
		space := s.work.space
		s.work.Unlock()
		select {
		case <-space:
		case <-s.ctx.Done():
			return
		}
	}
}

// dequeue returns the oldest request, or false when there is none or the socket
// ends.
func (s *socket) dequeue() (m clientMessage, ok bool) {
	s.work.Lock()
	defer s.work.Unlock()
	if len(s.work.queue) == 0 || s.ctx.Err() != nil {
		s.work.running, s.work.queue = false, nil
		return m, false
	}
	m = s.work.queue[0]
	s.work.queue[0] = clientMessage{}
	s.work.queue = s.work.queue[1:]
	s.work.bytes -= m.size
	if s.work.space != nil {
		close(s.work.space)
		s.work.space = nil
	}
	return m, true
}

func (s *socket) handleAll() {
	defer func() {
		if p := recover(); p != nil {
			s.w.o.Logger.Error("socket request panicked", "user", userOf(s.session), "panic", p, "stack", string(debug.Stack()))
			s.end(closeInternal, "Internal error")
		}
	}()
	for {
		m, ok := s.dequeue()
		if !ok {
			return
		}
		s.handle(&m)
	}
}

// handle answers one request.
func (s *socket) handle(m *clientMessage) {
	ctx := s.ctx
	if s.w.o.Tracer != nil {
		var span RequestSpan
		if ctx, span = s.w.o.Tracer.Request(ctx, "WebSocket "+m.kind, s.hello.parent, ""); span != nil {
			defer span.End(0)
		}
	}
	switch m.kind {
	case typeSubscribe:
		s.subscribe(ctx, m)
	case typeNextBatch:
		if err := s.live.NextBatch(ctx, m.id, m.last, m.hasLast); err != nil && s.ctx.Err() == nil {
			_, words := s.explain(err)
			s.fail(m.id, socketBatchFailed, words)
		}
	case typeUnsubscribe:
		s.live.Unsubscribe(m.id)
	case typePresent, typeAbsent:
		s.presence(ctx, m)
	}
}

// presence binds a row to the connection, or takes it back, and answers.
func (s *socket) presence(ctx context.Context, m *clientMessage) {
	err, text := m.refusal, []byte(nil)
	switch {
	case err != nil:
	case m.kind == typePresent:
		var seq uint64
		seq, err = s.w.o.DB.MakePresent(ctx, s.session, s.live, m.present)
		text = appendPresentAck(nil, m.id, seq)
	default:
		var found bool
		found, err = s.w.o.DB.MakeAbsent(ctx, s.session, s.live, m.present)
		text = appendAbsentAck(nil, m.id, found)
	}
	switch {
	case s.ctx.Err() != nil:
	case err != nil:
		code, words := s.explain(err)
		if is := fault.CodeOf(err); is != fault.Internal {
			code = string(is)
		}
		s.fail(m.id, code, words)
	case s.hello.wish.packed():
		s.send(core.LiveReply, appendPacked(nil, text))
	default:
		s.send(core.LiveReply, text)
	}
}

func (s *socket) subscribe(ctx context.Context, m *clientMessage) {
	id := m.request.ID
	switch {
	case isBlank(id):
		s.fail(nameInvalid, socketBadID, "Subscription ID cannot be empty")
		return
	case len(id) > maxSubscriptionID:
		s.fail(nameInvalid, socketBadID, "Subscription ID is too long")
		return
	}
	err := m.refusal
	if err == nil {
		err = s.w.o.DB.Subscribe(ctx, s.session, s.live, m.request)
	}
	if err != nil && s.ctx.Err() == nil {
		code, words := s.explain(err)
		s.fail(id, code, words)
	}
}

func isBlank(text string) bool {
	for _, r := range text {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
	}
	return true
}

// explain words a fault for the client, and logs what he must not see.
func (s *socket) explain(err error) (code, words string) {
	if fault.CodeOf(err) == fault.Internal {
		s.w.o.Logger.Error("live query failed", "user", userOf(s.session), "connection", s.session.RequestID, "error", err)
	}
	return socketError(err)
}

// drain gives the client time to read the close frame: closing a connection
// with unread bytes in it would throw away what is on the way to it.
func (s *socket) drain(usable bool) {
	_ = s.c.SetReadDeadline(time.Now().Add(closeWait))
	if !usable {
		_, _ = io.CopyN(io.Discard, s.c, drainBytes)
		return
	}
	for range drainBytes / maxHeader {
		if m, err := s.in.next(); err != nil || m.op == opClose {
			return
		}
	}
}
