package api

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"kalamdb/internal/core"
)

const (
	// writePiece is how much is joined into one write.
	writePiece = 64 << 10
	// compressFrom is the length from which acks and batches are compressed.
	compressFrom = 512
)

// frameKind is what a frame of the hub is.
type frameKind = core.LiveFrameKind

// joinedBuffers are the buffers that frames are joined in; idle sockets have none.
var joinedBuffers = sync.Pool{New: func() any { return new([]byte) }}

// squeezer is a compressor and its output.
type squeezer struct {
	out bytes.Buffer
	gz  *gzip.Writer
}

var squeezers = sync.Pool{New: func() any {
	s := new(squeezer)
	s.gz, _ = gzip.NewWriterLevel(&s.out, gzip.BestSpeed) // the level is valid
	return s
}}

// The states of socket.writing.
const (
	writerNone  = iota // the socket does not talk yet
	writerIdle         // nothing to do
	writerBusy         // a goroutine is writing
	writerAgain        // it is, and has to look again before it ends
)

// wake lets what is due be written: frames of the hub, a pong, a ping, or the
// end. A goroutine does that which lives while there is something to write, so
// that a socket that waits has none. It never waits itself.
func (s *socket) wake() {
	for {
		switch s.writing.Load() {
		case writerNone, writerAgain:
			return
		case writerIdle:
			if s.writing.CompareAndSwap(writerIdle, writerBusy) {
				go s.deliver()
				return
			}
		case writerBusy:
			if s.writing.CompareAndSwap(writerBusy, writerAgain) {
				return
			}
		}
	}
}

// tick is called by the socket's timer.
func (s *socket) tick() {
	s.beat.Store(true)
	s.wake()
}

// deliver writes what is due and ends when that is all. With the end of the
// socket it stays the writer, so that no other one starts.
func (s *socket) deliver() {
	for {
		s.writing.Store(writerBusy) // who wakes from here on is seen below
		if s.hasEnded() {
			s.finish()
			s.quiet()
			return
		}
		if !s.turn() {
			// The client takes nothing: there is no way to tell it. The
			// connection is closed when the reader has ended, which waits for a
			// client that may never send again.
			s.end(0, "")
			_ = s.c.SetReadDeadline(time.Now())
			s.quiet()
			return
		}
		if s.writing.CompareAndSwap(writerBusy, writerIdle) {
			return
		}
	}
}

// quiet says that nothing more will be written, which ends what requests are
// being handled too.
func (s *socket) quiet() {
	s.cancel()
	s.writer.Done()
}

// turn does once what may be due. It reports whether the connection goes on.
func (s *socket) turn() bool {
	if s.beat.Swap(false) && !s.heartbeat() {
		return false
	}
	if !s.pong() {
		return false
	}
	ok, _ := s.flush()
	return ok
}

// heartbeat pings the client when that is due, ends the socket when the client
// is not heard of any more or its token is over, and sets the timer anew.
func (s *socket) heartbeat() bool {
	rest := s.patience()
	if rest <= 0 {
		s.w.stats.timeouts.Add(1)
		s.end(closeNormal, "Heartbeat timeout")
		return true
	}
	now := time.Now()
	if ends := s.ends.Load(); ends != 0 {
		left := time.Unix(0, ends).Sub(now)
		if left <= 0 {
			s.end(closePolicy, reasonTokenEnded)
			return true
		}
		rest = min(rest, left)
	}
	ok := true
	if !now.Before(s.pingAt) {
		s.pingAt = now.Add(s.w.o.Heartbeat)
		ok = s.ping()
	}
	s.timer.Reset(max(min(s.pingAt.Sub(now), rest), time.Millisecond))
	return ok
}

// patience returns how long the client may still be silent.
func (s *socket) patience() time.Duration {
	last := time.Unix(0, max(s.heard.Load(), s.taken.Load()))
	return s.w.o.ClientTimeout - time.Since(last)
}

// ping sends a ping. It does not count as taken: it fits the buffers of a
// machine whose user is gone.
func (s *socket) ping() bool { return s.write(appendFrame(nil, opPing)) }

// pong answers the newest ping.
func (s *socket) pong() bool {
	s.mu.Lock()
	payload := s.mu.pong
	s.mu.pong = nil
	s.mu.Unlock()
	return payload == nil || s.write(appendFrame(nil, opPong, payload))
}

// finish writes what is due, the close frame, and ends the reader's wait.
func (s *socket) finish() {
	ok, more := true, true
	for ok && more && time.Now().UnixNano() < s.closeBy.Load() {
		ok, more = s.flush()
	}
	if ok && s.pong() {
		s.close(s.lastWords())
	}
	_ = s.c.SetReadDeadline(time.Now().Add(closeWait))
}

// flush takes frames from the hub and writes them together. It reports whether
// the connection goes on, and whether there was anything.
func (s *socket) flush() (ok, some bool) {
	frames, err := s.live.Take(s.ctx, nil, writePiece)
	if err != nil {
		s.end(closePolicy, "Connection ended by the server")
		return true, false
	}
	if len(frames) == 0 {
		return true, false
	}
	buffer := joinedBuffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) > 4*writePiece {
			*buffer = nil
		}
		joinedBuffers.Put(buffer)
	}()
	b := (*buffer)[:0]
	for i := range frames {
		f := &frames[i]
		if f.Len() > writePiece/2 {
			// A long body is not worth copying.
			if !s.writeData(b) || !s.writeLong(f) {
				return false, true
			}
			b = b[:0]
			continue
		}
		if b = s.appendData(b, f); len(b) >= writePiece {
			if !s.writeData(b) {
				return false, true
			}
			b = b[:0]
		}
	}
	s.w.stats.frames.Add(int64(len(frames)))
	*buffer = b
	return s.writeData(b), true
}

// compresses reports whether a frame is to be compressed.
func (s *socket) compresses(f *core.LiveFrame) bool {
	if !s.gzip {
		return false
	}
	switch f.Kind {
	case core.LiveReply:
		return f.Len() >= compressFrom
	case core.LiveChangeFrame:
		return f.Len() > s.w.o.CompressChangeBytes
	}
	return false
}

// appendData appends a frame, compressed where that is due and worth it.
func (s *socket) appendData(dst []byte, f *core.LiveFrame) []byte {
	if s.compresses(f) {
		z := squeezers.Get().(*squeezer)
		defer squeezers.Put(z)
		if small := z.squeeze(f); len(small) < f.Len() {
			return appendFrame(dst, opBinary, small)
		}
	}
	op, parts := frameParts(f)
	return appendFrame(dst, op, parts[:]...)
}

// writeLong writes one long frame.
func (s *socket) writeLong(f *core.LiveFrame) bool {
	if s.compresses(f) {
		return s.writeData(s.appendData(nil, f))
	}
	op, parts := frameParts(f)
	ok := s.writeData(appendFrameHeader(nil, op, f.Len()))
	for _, p := range parts {
		ok = ok && s.writeData(p)
	}
	return ok
}

// squeeze compresses a frame; the bytes are valid until the next call.
func (z *squeezer) squeeze(f *core.LiveFrame) []byte {
	z.out.Reset()
	z.gz.Reset(&z.out)
	_, parts := frameParts(f)
	for _, p := range parts {
		_, _ = z.gz.Write(p) // a bytes.Buffer takes everything
	}
	_ = z.gz.Close()
	return z.out.Bytes()
}

// writeData writes bytes of data frames and notes that the client takes them.
func (s *socket) writeData(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		if !s.write(b[:n]) {
			return false
		}
		s.taken.Store(time.Now().UnixNano())
		b = b[n:]
	}
	return true
}

// write writes bytes to the connection. A client may be slow, but it must take
// something within the client timeout.
func (s *socket) write(b []byte) bool {
	for len(b) > 0 {
		deadline := time.Now().Add(s.w.o.ClientTimeout)
		_ = s.c.SetWriteDeadline(deadline) // a broken connection shows at the write
		if by := s.closeBy.Load(); by != 0 && by < deadline.UnixNano() {
			_ = s.c.SetWriteDeadline(time.Unix(0, by))
		}
		n, err := s.c.Write(b)
		s.w.stats.writes.Add(1)
		s.w.stats.bytes.Add(int64(n))
		b = b[n:]
		var network net.Error
		switch {
		case err == nil:
		case n > 0 && !s.hasEnded() && errors.As(err, &network) && network.Timeout():
			// It has taken some.
		default:
			return false
		}
	}
	return true
}
