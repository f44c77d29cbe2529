package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSupervisorDelay(t *testing.T) {
	delay, got := firstDelay, []time.Duration{}
	for range 12 {
		delay = after(delay, time.Second)
		got = append(got, delay)
		delay *= 2
	}
	if got[0] != firstDelay || got[1] != 2*firstDelay || got[11] != lastDelay || !slices.IsSorted(got) {
		t.Errorf("%v", got)
	}
	if d := after(lastDelay, steadyTime); d != firstDelay {
		t.Errorf("after a steady minute it waits %s", d)
	}
}

func TestUnsupervised(t *testing.T) {
	got := unsupervised([]string{"--set", "a.b=c", "--supervise", "x.toml", "-supervise"})
	if !slices.Equal(got, []string{"--set", "a.b=c", "x.toml"}) {
		t.Errorf("%q", got)
	}
}

// TestSupervisorEnds: a child that crashes is started again, one that ends with a
// code that makes it useless is not, and its code is the supervisor's.
func TestSupervisorEnds(t *testing.T) {
	for _, c := range []struct {
		script string
		starts int
		code   int
	}{
		{"exit 0", 1, 0},
		{"exit 1", 1, 1},
		{"exit 2", 1, 2},
		{"exit 3", 1, 3},
		{`test $(wc -l < "$STARTS") -lt 3 && kill -ABRT $$; exit 3`, 3, 3},
		{`test $(wc -l < "$STARTS") -lt 2 && exit 4; exit 0`, 2, 0},
	} {
		starts := filepath.Join(t.TempDir(), "starts")
		var said bytes.Buffer
		s := &supervisor{
			program: "/bin/sh", args: []string{"-c", `echo >> "$STARTS"; ` + c.script}, env: append(os.Environ(), "STARTS="+starts),
			stdout: &said, stderr: &said, log: slog.New(slog.NewTextHandler(&said, nil)), signals: make(chan os.Signal),
		}
		code := s.run()
		text, err := os.ReadFile(starts)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n != c.starts || code != c.code {
			t.Errorf("%s: %d starts, code %d; want %d and %d\n%s", c.script, n, code, c.starts, c.code, &said)
		}
		if n := strings.Count(said.String(), "has crashed"); n != c.starts-1 {
			t.Errorf("%s: %d crashes were told\n%s", c.script, n, &said)
		}
	}
}
