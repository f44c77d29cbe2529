package target

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// lengthDigits is the width of Content-Length: leading zeros are as good as
// none, and the head can be written before the body.
const lengthDigits = 6

// head is the beginning of a request up to the value of Content-Length.
func head(method, path, host, token string) string {
	text := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if token != "" {
		text += "Authorization: Bearer " + token + "\r\n"
	}
	return text + "Content-Type: application/json\r\nContent-Length: "
}

// appendRequest appends head, the length of the body that body appends, and
// the body.
func appendRequest(buf []byte, head string, body func([]byte) []byte) []byte {
	buf = append(buf, head...)
	at := len(buf)
	buf = append(buf, "000000\r\n\r\n"...)
	begin := len(buf)
	buf = body(buf)
	digits := strconv.Itoa(len(buf) - begin)
	copy(buf[at+lengthDigits-len(digits):], digits)
	return buf
}

// expect fails unless the answer has the status and holds every text.
func expect(status, want int, body []byte, texts ...[]byte) error {
	if status != want {
		return fmt.Errorf("status %d, want %d: %.300q", status, want, body)
	}
	for _, t := range texts {
		if !bytes.Contains(body, t) {
			return fmt.Errorf("no %.120q in %.300q", t, body)
		}
	}
	return nil
}

var errUnknownVerb = errors.New("the dialect has no such verb")
