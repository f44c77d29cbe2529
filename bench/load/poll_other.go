//go:build !linux

package load

import (
	"errors"
	"time"
)

// poller exists on Linux only.
type poller struct{}

func newPoller(int) (*poller, error) {
	return nil, errors.New("the load client needs Linux")
}

func (*poller) close()                                 {}
func (*poller) dial(string) (int, error)               { return 0, errors.ErrUnsupported }
func (*poller) hangUp(int)                             {}
func (*poller) wait(time.Duration) ([]int, error)      { return nil, errors.ErrUnsupported }
func (*poller) read(_ int, buf []byte) ([]byte, error) { return buf, errors.ErrUnsupported }
func (*poller) write(int, []byte) error                { return errors.ErrUnsupported }
