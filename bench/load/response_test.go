package load

import (
	"errors"
	"strings"
	"testing"
)

func TestParseResponse(t *testing.T) {
	f := func(text string, wantStatus int, wantBody string) {
		t.Helper()
		for i := range text {
			if _, _, _, err := parseResponse([]byte(text[:i])); !errors.Is(err, errIncomplete) {
				t.Fatalf("the first %d bytes of %q: %v", i, text, err)
			}
		}
		status, body, size, err := parseResponse([]byte(text + "HTTP/1.1 "))
		if err != nil || status != wantStatus || string(body) != wantBody || size != len(text) {
			t.Errorf("%q: %d %q, %d bytes, %v", text, status, body, size, err)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}")
	f("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\ncontent-length:0003\r\nX: y\r\n\r\nabc", 503, "abc")
	f("HTTP/1.1 200 OK\r\nX-Content-Length: 9\r\nCONTENT-LENGTH: 0\r\n\r\n", 200, "")
	f("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, "")

	refuse := func(text, want string) {
		t.Helper()
		_, _, _, err := parseResponse([]byte(text))
		if err == nil || errors.Is(err, errIncomplete) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	refuse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no content length")
	refuse("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "content length")
	refuse("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "content length")
	refuse("HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n", "status")
	refuse("SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", "begins with")
	refuse("\r\n\r\n", "begins with")
	refuse(strings.Repeat("x", maxHead+1), "exceeds")
}
