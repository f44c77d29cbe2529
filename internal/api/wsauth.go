package api

import (
	"errors"
	"net"
	"strconv"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/fault"
)

// Words and reasons of refused authentications.
const (
	wordsTooManyAttempts = "Too many authentication attempts. Please retry shortly."
	wordsNoCredentials   = "Invalid credentials"
	reasonAuthFailed     = "Authentication failed"
	reasonAuthTimeout    = "Authentication timeout"
	reasonTokenEnded     = "Token expired"
)

// authenticate waits until the client has proved who it is, and answers. It
// reports false when the socket is over. Nobody else reads or writes yet.
func (s *socket) authenticate() bool {
	if s.hello.token != "" {
		return s.prove(s.hello.token)
	}
	limit := s.w.o.AuthTimeout
	_ = s.c.SetReadDeadline(time.Now().Add(limit)) // a broken connection shows at the read
	for {
		m, err := s.in.next()
		var bad *broken
		var network net.Error
		switch {
		case s.hasEnded():
			s.close(s.lastWords())
			s.drain(true)
			return false
		case errors.As(err, &bad):
			if bad.tooLarge {
				s.reply(appendSocketError(nil, nameProtocol, socketTooLarge, "Message too large"))
			}
			s.close(bad.code, bad.reason)
			s.drain(false)
			return false
		case errors.As(err, &network) && network.Timeout():
			s.deny("Authentication timeout - no auth message received within "+
				strconv.FormatFloat(limit.Seconds(), 'f', -1, 64)+" seconds", reasonAuthTimeout)
			return false
		case err != nil:
			return false
		}
		s.hear()
		if done, ok := s.introduce(m); done {
			return ok
		}
	}
}

// introduce acts on a message of a client that is not authenticated. It reports
// whether that is over, and how.
func (s *socket) introduce(m message) (done, ok bool) {
	switch m.op {
	case opPing:
		s.write(appendFrame(nil, opPong, m.data))
		return false, false
	case opPong:
		return false, false
	case opClose:
		s.close(m.code, "")
		return true, false
	case opBinary:
		s.reply(appendSocketError(nil, nameProtocol, socketBadData, "Binary not supported"))
		return false, false
	}
	if !s.rate.take(s.w.o.MessagesPerSecond, time.Now()) {
		s.reply(appendSocketError(nil, nameRateLimit, socketRateLimit, "Too many messages"))
		return false, false
	}
	msg, err := decodeMessage(m.data)
	if err != nil {
		s.close(closeInternal, "Invalid message: "+err.Error())
		s.drain(true)
		return true, false
	}
	switch msg.kind {
	case typeSubscribe:
		s.reply(appendSocketError(nil, nameSubscribe, socketAuthRequired, "Authentication required before subscribing"))
	case typePresent, typeAbsent:
		s.reply(appendSocketError(nil, msg.id, socketAuthRequired, "Authentication required before being present"))
	case typeAuthenticate:
		if msg.method != "jwt" {
			s.close(closeInternal, "Invalid message: method must be `jwt`")
			s.drain(true)
			return true, false
		}
		if msg.session != "" {
			s.hello.session = msg.session
		}
		if msg.protocol {
			s.hello.wish = msg.wish
			s.hello.compressed = s.hello.compressed && msg.wish.Compression != compressionNone
		}
		return true, s.prove(msg.token)
	}
	return false, false
}

// prove checks a token and answers.
func (s *socket) prove(token string) bool {
	if !s.w.o.Auth.AllowAttempt(s.hello.client.IP) {
		s.deny(wordsTooManyAttempts, reasonAuthFailed)
		return false
	}
	session, err := s.w.o.Auth.Authenticate(s.ctx, token)
	if err != nil {
		s.deny(s.refusalWords(err), reasonAuthFailed)
		return false
	}
	s.session = s.hello.sessionOf(session, connectionID())
	s.lasts(session.Ends)
	s.gzip = s.hello.compressed
	_ = s.c.SetReadDeadline(time.Time{})
	return s.reply(s.success())
}

// renew checks the token of a client that is authenticated already: one of the
// same user lets the socket last as long as it does, any other ends it, for its
// subscriptions are those of the user who opened it. The first words on how to
// talk stand.
func (s *socket) renew(m *clientMessage) {
	refuse := func(words string) {
		s.w.stats.denied.Add(1)
		s.send(core.LiveReply, appendAuthError(nil, words))
		s.end(closePolicy, reasonAuthFailed)
	}
	if m.method != "jwt" {
		s.end(closeInternal, "Invalid message: method must be `jwt`")
		return
	}
	if !s.w.o.Auth.AllowAttempt(s.hello.client.IP) {
		refuse(wordsTooManyAttempts)
		return
	}
	session, err := s.w.o.Auth.Authenticate(s.ctx, m.token)
	switch {
	case err != nil:
		refuse(s.refusalWords(err))
	case session.UserID != s.session.UserID || session.Role != s.session.Role:
		refuse(wordsNoCredentials)
	default:
		s.lasts(session.Ends)
		s.send(core.LiveReply, s.success())
	}
}

// lasts lets the socket last until a token is over, if it does not already.
func (s *socket) lasts(ends time.Time) {
	if !ends.IsZero() {
		s.ends.Store(max(s.ends.Load(), ends.UnixNano()))
	}
}

// refusalWords says why a token was not taken.
func (s *socket) refusalWords(err error) string {
	switch fault.CodeOf(err) {
	case fault.TokenExpired, fault.InvalidCredentials, fault.MissingAuthorization:
		return wordsNoCredentials
	case fault.Internal:
		s.w.o.Logger.Error("socket authentication failed", "error", err)
		return reasonAuthFailed
	}
	return fault.Of(err).Sentence()
}

// success is the answer to an authentication.
func (s *socket) success() []byte {
	return appendAuthSuccess(nil, string(s.session.UserID), s.session.Role.String(), s.gzip, &s.hello.wish)
}

// deny answers a failed authentication and closes.
func (s *socket) deny(words, reason string) {
	s.w.stats.denied.Add(1)
	s.reply(appendAuthError(nil, words))
	s.close(closePolicy, reason)
	s.drain(true)
}

// reply writes a text message at once, before there is a writer.
func (s *socket) reply(text []byte) bool { return s.write(appendFrame(nil, opText, text)) }

// close writes a close frame at once.
func (s *socket) close(code uint16, reason string) { s.write(appendClose(nil, code, reason)) }
