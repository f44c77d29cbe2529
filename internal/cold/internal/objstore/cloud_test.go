package objstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/testkit/s3"
)

// The keys of the S3 server that the tests start.
const (
	testAccess = s3.Access
	testSecret = s3.Secret
)

// startS3 starts a server with the bucket that testCloud opens.
func startS3(t *testing.T) *url.URL {
	t.Helper()
	server := s3.Start(t)
	if err := os.Mkdir(filepath.Join(server.Root, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &url.URL{Scheme: "http", Host: server.Host}
}

// testCloud opens the bucket of a test server by an address.
func testCloud(t *testing.T, endpoint string, change func(*CloudOptions)) *Cloud {
	t.Helper()
	o := CloudOptions{
		Type: "s3", Bucket: "bucket", Prefix: "base", Endpoint: endpoint, PathStyle: true, AccessKey: testAccess, SecretKey: testSecret,
		FS: disk.NewMem(), Spool: "spool", Delay: time.Millisecond, Deadline: 5 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	c, err := NewCloud(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// content is n bytes that differ from place to place.
func content(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 31 >> 3)
	}
	return data
}

// roundTrip writes, lists, reads and removes objects of several lengths.
func roundTrip(t *testing.T, c *Cloud) {
	t.Helper()
	for _, n := range []int{0, 1, 4096, partBytes + 17} {
		data, name := content(n), fmt.Sprintf("app/t%%41/batch-%d.parquet", n)
		u, err := c.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 100_000):] {
			if _, err := u.Write(rest[:min(len(rest), 100_000)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := u.Finish(); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := c.Get(name); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes come back as %d, %v", n, len(got), err)
		}
	}
	if names, err := c.List("."); err != nil || fmt.Sprint(names) != "[app]" {
		t.Errorf("the base holds %q, %v", names, err)
	}
	names, err := c.List("app/t%41")
	if err != nil || len(names) != 4 || names[0] != "batch-0.parquet" {
		t.Errorf("the folder holds %q, %v", names, err)
	}
	for _, folder := range []string{".", "app"} {
		walked := map[string]int64{}
		if err := c.Walk(folder, func(e Entry) error { walked[e.Name] = e.Size; return nil }); err != nil || len(walked) != 4 || walked["app/t%41/batch-0.parquet"] < 0 {
			t.Errorf("a walk of %s met %v, %v", folder, walked, err)
		}
	}
	if err := c.Walk("ap", func(e Entry) error { return fmt.Errorf("met %s", e.Name) }); err != nil {
		t.Errorf("a walk of a folder that is not there: %v", err)
	}
	for _, name := range names {
		if err := c.Remove("app/t%41/" + name); err != nil {
			t.Error(err)
		}
	}
	if names, err := c.List("."); err != nil || len(names) != 0 {
		t.Errorf("%q remain, %v", names, err)
	}
	if left, err := c.o.FS.List("spool"); err != nil || len(left) != 0 {
		t.Errorf("%q remain in the spool, %v", left, err)
	}
}

func TestS3(t *testing.T) {
	c := testCloud(t, startS3(t).String(), nil)
	if err := c.MakeBase(); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	if c.Retries() != 0 {
		t.Errorf("%d operations were tried again", c.Retries())
	}
	if err := c.Remove("never/was"); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	if _, err := c.Get("never/was"); !disk.IsNotExist(err) {
		t.Errorf("reading nothing: %v", err)
	}
	for _, name := range []string{"../x", "/x", "", "a/../../x"} {
		if err := c.Put(name, nil); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}

// faulty stands between a client and a store and spoils answers.
type faulty struct {
	next  *httputil.ReverseProxy
	count atomic.Int64
	spoil func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) bool
}

// ServeHTTP implements http.Handler.
func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.spoil(f.count.Add(1), w, r, f.next) {
		f.next.ServeHTTP(w, r)
	}
}

// startFaulty starts a proxy before a store. The host of requests stays, for it
// is signed.
func startFaulty(t *testing.T, target *url.URL, spoil func(int64, http.ResponseWriter, *http.Request, http.Handler) bool) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
			p.Out.Host = p.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	s := httptest.NewServer(&faulty{next: proxy, spoil: spoil})
	t.Cleanup(s.Close)
	return s.URL
}

// answerXML refuses as S3 does.
func answerXML(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, testSecret)
}

// Whatever passes is tried again: every third request meets a fault, and all
// that is written is read back as it was.
func TestS3Faults(t *testing.T) {
	target := startS3(t)
	for _, kind := range []string{"500", "slow down", "cut", "truncated", "silent"} {
		t.Run(kind, func(t *testing.T) {
			var gets atomic.Int64
			endpoint := startFaulty(t, target, func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				if n%3 != 1 && kind != "truncated" {
					return false
				}
				switch kind {
				case "500":
					answerXML(w, http.StatusInternalServerError, "InternalError")
				case "slow down":
					answerXML(w, http.StatusServiceUnavailable, "SlowDown")
				case "cut":
					panic(http.ErrAbortHandler)
				case "truncated":
					if r.Method != http.MethodGet || gets.Add(1)%2 == 0 {
						return false
					}
					whole := httptest.NewRecorder()
					next.ServeHTTP(whole, r)
					for k, v := range whole.Header() {
						w.Header()[k] = v
					}
					w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
					w.WriteHeader(whole.Code)
					_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
					panic(http.ErrAbortHandler)
				case "silent":
					if n%9 != 1 {
						return false
					}
					_, _ = io.Copy(io.Discard, r.Body)
					<-r.Context().Done()
				}
				return true
			})
			c := testCloud(t, endpoint, func(o *CloudOptions) {
				o.Attempts = 10
				if kind == "silent" {
					o.Deadline = 2 * time.Second
				}
			})
			roundTrip(t, c)
			if c.Retries() == 0 {
				t.Error("nothing was tried again")
			}
		})
	}
}

// What will not pass is said at once, in a sentence without secrets.
func TestS3Refusals(t *testing.T) {
	target := startS3(t)
	for _, test := range []struct {
		change func(*CloudOptions)
		says   string
	}{
		{func(o *CloudOptions) { o.Bucket = "elsewhere" }, "the bucket does not exist"},
		{func(o *CloudOptions) { o.SecretKey = "wrong-secret" }, "the credentials are refused (403"},
		{func(o *CloudOptions) { o.AccessKey = "nobody" }, "the store answers 404 "},
	} {
		c := testCloud(t, target.String(), test.change)
		err := c.Put("x", []byte("x"))
		var refused *Refused
		if !errors.As(err, &refused) || refused.Attempts != 1 || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q is said as %v", test.says, err)
		}
		if disk.IsNotExist(err) {
			t.Errorf("%v looks like a missing object", err)
		}
		for _, secret := range []string{testSecret, "wrong-secret"} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%v tells a secret", err)
			}
		}
	}
}

// A store that never recovers is given up after so many attempts, and Close
// ends a wait.
func TestS3GivesUp(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		answerXML(w, http.StatusServiceUnavailable, "SlowDown")
	}))
	defer s.Close()
	c := testCloud(t, s.URL, func(o *CloudOptions) { o.Attempts = 3 })
	err := c.Put("x", []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "503 SlowDown (3 attempts)") || asked.Load() != 3 {
		t.Errorf("after %d requests: %v", asked.Load(), err)
	}
	slow := testCloud(t, s.URL, func(o *CloudOptions) { o.Delay = time.Hour })
	done := make(chan error, 1)
	go func() { done <- slow.Remove("x") }()
	for asked.Load() < 4 {
		<-time.After(time.Millisecond)
	}
	if err := slow.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "is being closed") {
		t.Errorf("a closed store says %v", err)
	}
}
