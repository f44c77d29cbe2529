package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

const (
	maxHead = 16 << 10 // bytes of a response's head
	maxBody = 64 << 20 // bytes of a response's body
)

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("content-length:")
	errIncomplete = errors.New("the response is not complete")
)

// parseResponse finds the first response in buf. size is its length in bytes; the
// error is errIncomplete when more must be read. Chunked bodies are refused:
// none of the measured operations is answered with one.
func parseResponse(buf []byte) (status int, body []byte, size int, err error) {
	head := bytes.Index(buf, headEnd)
	if head < 0 {
		if len(buf) > maxHead {
			return 0, nil, 0, fmt.Errorf("head of the response exceeds %d bytes", maxHead)
		}
		return 0, nil, 0, errIncomplete
	}
	if head < 12 || string(buf[:7]) != "HTTP/1." || buf[8] != ' ' {
		return 0, nil, 0, fmt.Errorf("response begins with %q", buf[:min(len(buf), 20)])
	}
	if status, err = strconv.Atoi(string(buf[9:12])); err != nil {
		return 0, nil, 0, fmt.Errorf("status of the response: %w", err)
	}
	length, err := bodyLength(buf[:head], status)
	if err != nil {
		return 0, nil, 0, err
	}
	size = head + len(headEnd) + length
	if len(buf) < size {
		return 0, nil, 0, errIncomplete
	}
	return status, buf[head+len(headEnd) : size], size, nil
}

// bodyLength reads Content-Length; answers without content have none.
func bodyLength(head []byte, status int) (int, error) {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 {
			break
		}
		head = head[i+1:]
		if len(head) < len(contentLength) || !bytes.EqualFold(head[:len(contentLength)], contentLength) {
			continue
		}
		value := head[len(contentLength):]
		if end := bytes.IndexByte(value, '\r'); end >= 0 {
			value = value[:end]
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || n < 0 || n > maxBody {
			return 0, fmt.Errorf("content length %q", value)
		}
		return n, nil
	}
	if status == 204 || status == 304 {
		return 0, nil
	}
	return 0, errors.New("the response has no content length")
}
