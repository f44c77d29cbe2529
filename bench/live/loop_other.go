//go:build !linux

package live

import (
	"errors"
	"time"
)

// loop exists on Linux only.
type loop struct{}

type conn struct{}

func newLoop() (*loop, error) { return nil, errors.New("the live client needs Linux") }

func (*loop) close()     {}
func (*loop) drop(*conn) {}
func (*loop) dial(string, func([]byte) (int, error)) (*conn, error) {
	return nil, errors.ErrUnsupported
}
func (*loop) turn(time.Duration) error        { return errors.ErrUnsupported }
func (*loop) write(*conn, []byte) error       { return errors.ErrUnsupported }
func (*loop) writeNow(*conn, []byte) error    { return errors.ErrUnsupported }
func (*loop) await(string, func() bool) error { return errors.ErrUnsupported }
