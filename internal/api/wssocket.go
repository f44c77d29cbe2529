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

	"golang.org/x/sync/semaphore"

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
	// closeBy bounds writes from the moment the end has begun; nanoseconds, 0
	// before.
	closeBy atomic.Int64
	// ending is closed when the end begins; ended says how.
	ending chan struct{}
	// control holds a token while there is something for the writer besides
	// frames.
	control chan struct{}

	mu struct {
		sync.Mutex
		ended   bool
		code    uint16
		why     string
		talking bool   // there is a writer
		pong    []byte // payload of the newest ping, nil when it is answered
	}

	// slots holds a token per queued request, room the bytes that they take.
	slots chan struct{}
	room  *semaphore.Weighted
	work  struct {
		sync.Mutex
		queue   []clientMessage
		running bool
	}
	workers sync.WaitGroup
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

// serve speaks with a client until one of the two ends it.
func (w *WebSockets) serve(c net.Conn, h hello) {
	s := &socket{
		w: w, c: c, hello: h,
		in:      newFrameReader(c, w.o.MaxMessage),
		ending:  make(chan struct{}),
		control: make(chan struct{}, 1),
		slots:   make(chan struct{}, queuedRequests),
		room:    semaphore.NewWeighted(queuedBytes),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer s.cancel()
	defer func() {
		if p := recover(); p != nil {
			w.o.Logger.Error("socket handler panicked", "user", userOf(s.session), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !w.enter(s) {
		s.write(appendClose(nil, closeGoingAway, "Server shutting down"))
		return
	}
	defer w.leave(s)
	w.stats.accepted.Add(1)
	s.hear()
	s.taken.Store(time.Now().UnixNano())
	if s.authenticate() {
		s.talk()
	}
}

// hear notes that the client has sent a frame.
func (s *socket) hear() {
	s.heard.Store(time.Now().UnixNano())
	if s.live != nil {
		s.live.Touch()
	}
}

// talk delivers and listens until the end.
func (s *socket) talk() {
	s.live = s.w.o.DB.Hub().Connect(core.LiveConnOptions{
		ID: s.session.RequestID, User: s.session.UserID, Encoder: jsonFrames{},
		Lagging: s.hello.wish.has(featureLagging), Commits: s.hello.wish.has(featureCommits),
	})
	defer s.live.Close()
	s.mu.Lock()
	s.mu.talking = true
	s.mu.Unlock()
	var writer sync.WaitGroup
	defer s.workers.Wait()
	defer writer.Wait()
	writer.Go(func() {
		defer s.cancel()
		s.deliver()
	})
	answered, usable := s.listen()
	writer.Wait()
	s.cancel()
	if !answered {
		s.drain(usable)
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
	}
	close(s.ending)
}

// lastWords says how the socket ends.
func (s *socket) lastWords() (code uint16, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.code, s.mu.why
}

// hasEnded reports whether the end has begun.
func (s *socket) hasEnded() bool { return s.closeBy.Load() != 0 }

// listen reads until the end. It reports whether the client has closed its side
// and whether what it sends next could be read.
func (s *socket) listen() (answered, usable bool) {
	for {
		m, err := s.in.next()
		var bad *broken
		switch {
		case errors.As(err, &bad):
			if bad.tooLarge {
				s.fail(nameProtocol, socketTooLarge, "Message too large")
			}
			s.end(bad.code, bad.reason)
			return false, false
		case err != nil:
			if !s.hasEnded() {
				s.end(0, "") // nobody is there to read a close frame
			}
			return true, false
		}
		s.hear()
		if m.op == opClose {
			s.end(m.code, "")
			return true, true
		}
		if s.hasEnded() {
			return false, true
		}
		s.take(m)
	}
}

// take acts on one message or control frame.
func (s *socket) take(m message) {
	switch m.op {
	case opPing:
		s.mu.Lock()
		s.mu.pong = append([]byte{}, m.data...)
		s.mu.Unlock()
		s.nudge()
	case opBinary:
		s.fail(nameProtocol, socketBadData, "Binary not supported")
	case opText:
		s.takeText(m.data)
	}
}

// nudge wakes the writer.
func (s *socket) nudge() {
	select {
	case s.control <- struct{}{}:
	default:
	}
}

// takeText acts on a text message.
func (s *socket) takeText(data []byte) {
	s.w.stats.messages.Add(1)
	if !s.rate.take(s.w.o.MessagesPerSecond, time.Now()) {
		s.fail(nameRateLimit, socketRateLimit, "Too many messages")
		return
	}
	m, err := decodeMessage(data)
	if err != nil {
		s.end(closeInternal, "Invalid message: "+err.Error())
		return
	}
	switch m.kind {
	case typePing:
	case typeAuthenticate:
		s.send(core.LiveReply, s.success())
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
// lives while there are any. So the reader goes on answering pings.
func (s *socket) enqueue(m clientMessage) {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return
	}
	if s.room.Acquire(s.ctx, m.size) != nil {
		return
	}
	s.work.Lock()
	defer s.work.Unlock()
	s.work.queue = append(s.work.queue, m)
	if !s.work.running {
		s.work.running = true
		s.workers.Go(s.handleAll)
	}
}

func (s *socket) handleAll() {
	defer func() {
		if p := recover(); p != nil {
			s.w.o.Logger.Error("socket request panicked", "user", userOf(s.session), "panic", p, "stack", string(debug.Stack()))
			s.end(closeInternal, "Internal error")
		}
	}()
	for {
		s.work.Lock()
		if len(s.work.queue) == 0 || s.ctx.Err() != nil {
			s.work.running, s.work.queue = false, nil
			s.work.Unlock()
			return
		}
		m := s.work.queue[0]
		s.work.queue = s.work.queue[1:]
		s.work.Unlock()
		<-s.slots
		s.room.Release(m.size)
		s.handle(&m)
	}
}

// handle answers one request.
func (s *socket) handle(m *clientMessage) {
	switch m.kind {
	case typeSubscribe:
		s.subscribe(m)
	case typeNextBatch:
		if err := s.live.NextBatch(s.ctx, m.id, m.last, m.hasLast); err != nil && s.ctx.Err() == nil {
			_, words := s.explain(err)
			s.fail(m.id, socketBatchFailed, words)
		}
	case typeUnsubscribe:
		s.live.Unsubscribe(m.id)
	}
}

func (s *socket) subscribe(m *clientMessage) {
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
		err = s.w.o.DB.Subscribe(s.ctx, s.session, s.live, m.request)
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
