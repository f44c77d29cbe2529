package target

import (
	"strconv"

	"kalamdb/bench/load"
)

// centrifuge publishes rows to the program of bench/peers/fanout.
type centrifuge struct{ head string }

// Append implements load.Dialect.
func (c *centrifuge) Append(buf []byte, _ load.Verb, key, n int64) []byte {
	return appendRequest(buf, c.head, func(b []byte) []byte { return appendPublished(b, key, n) })
}

// Check implements load.Dialect.
func (c *centrifuge) Check(_ load.Verb, _, _ int64, status int, body []byte) error {
	return expect(status, 200, body, []byte("{}"))
}

// nats publishes rows to a nats-server, which answers nothing.
type nats struct{ body []byte }

// Append implements load.Dialect.
func (p *nats) Append(buf []byte, _ load.Verb, key, n int64) []byte {
	p.body = appendPublished(p.body[:0], key, n)
	buf = strconv.AppendInt(append(buf, "PUB bench "...), int64(len(p.body)), 10)
	return append(append(append(buf, "\r\n"...), p.body...), "\r\n"...)
}

// Check implements load.Dialect.
func (*nats) Check(load.Verb, int64, int64, int, []byte) error { return errUnknownVerb }

// appendPublished appends a row as a subscriber of KalamDB hears of it, but for
// what only a database adds.
func appendPublished(b []byte, key, n int64) []byte {
	b = strconv.AppendInt(append(b, `{"id":"`...), key, 10)
	b = load.AppendText(append(b, `","v":"`...), key)
	b = strconv.AppendInt(append(b, `","n":`...), n, 10)
	return append(b, '}')
}
