package ceiling

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kalamdb/bench/load"
)

// pending is what waits for the next sync.
type pending struct {
	file *log
	wake chan struct{}
	mu   struct {
		sync.Mutex
		data    []byte
		clients []*client
	}
}

// Synced answers a request when its bytes are on disk. One goroutine writes and
// syncs what all have sent meanwhile, then answers them.
func Synced(l net.Listener, path string) error {
	file, err := openLog(path)
	if err != nil {
		return err
	}
	p := &pending{file: file, wake: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	go func() { failed <- p.commit() }()
	go func() {
		failed <- accept(l, func(c *client) error {
			request := make([]byte, c.asks.Request)
			for {
				if _, err := io.ReadFull(c.in, request); err != nil {
					return err
				}
				p.add(c, request[:c.asks.Kept])
			}
		})
	}()
	return <-failed
}

func (p *pending) add(c *client, data []byte) {
	p.mu.Lock()
	p.mu.data = append(p.mu.data, data...)
	p.mu.clients = append(p.mu.clients, c)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pending) commit() error {
	var data []byte
	var clients []*client
	for range p.wake {
		p.mu.Lock()
		data, p.mu.data = p.mu.data, data[:0]
		clients, p.mu.clients = p.mu.clients, clients[:0]
		p.mu.Unlock()
		if len(clients) == 0 {
			continue
		}
		if err := p.file.append(data); err != nil {
			return err
		}
		for _, c := range clients {
			if _, err := c.Write(c.answer); err != nil {
				fmt.Fprintln(os.Stderr, "answer:", err)
			}
		}
	}
	return nil
}

// FsyncLoop is Synced without a network: so many callers append so many bytes
// each and wait for the sync that they share, again and again.
func FsyncLoop(path string, callers, size int, d time.Duration) (load.Result, error) {
	file, err := openLog(path)
	if err != nil {
		return load.Result{}, err
	}
	defer file.file.Close()
	type call struct{ since time.Time }
	arrive := make(chan call, callers)
	answers := make(chan struct{})
	begin := time.Now()
	var done sync.WaitGroup
	for range callers {
		done.Go(func() {
			for arrive <- (call{time.Now()}); ; arrive <- (call{time.Now()}) {
				if _, more := <-answers; !more {
					return
				}
			}
		})
	}
	var latency load.Histogram
	var waiting []call
	data := make([]byte, 0, callers*size)
	for time.Since(begin) < d {
		waiting, data = append(waiting[:0], <-arrive), data[:size]
		for more := true; more; {
			select {
			case c := <-arrive:
				waiting, data = append(waiting, c), data[:len(data)+size]
			default:
				more = false
			}
		}
		if err := file.append(data); err != nil {
			return load.Result{}, err
		}
		now := time.Now()
		for _, c := range waiting {
			latency.Record(now.Sub(c.since))
			answers <- struct{}{}
		}
	}
	seconds := time.Since(begin).Seconds()
	close(answers)
	go func() {
		for range arrive { // lets the callers come to their end
		}
	}()
	done.Wait()
	close(arrive)
	return latency.Result(seconds), nil
}

// log is a file that was written full once and is written over and over, so
// that a sync has no metadata to carry: the least that a log can cost.
type log struct {
	file *os.File
	at   int64
}

const logBytes = 16 << 20

func openLog(path string) (*log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < logBytes; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return nil, fmt.Errorf("fill log: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync log: %w", err)
	}
	return &log{file: f}, nil
}

func (l *log) append(data []byte) error {
	if l.at+int64(len(data)) > logBytes {
		l.at = 0
	}
	if _, err := l.file.WriteAt(data, l.at); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	l.at += int64(len(data))
	if err := syncData(l.file); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}
