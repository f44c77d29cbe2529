package backup

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// FuzzManifest reads any bytes: what is taken says the same after it is written
// again.
func FuzzManifest(f *testing.F) {
	text, err := sample().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"kind":"kalamdb-backup","version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(again); err != nil {
			t.Errorf("%q does not read again: %v", again, err)
		}
	})
}

// FuzzStretch reads any bytes as the body of a file of an archive: what is taken
// says the same after it is written again.
func FuzzStretch(f *testing.F) {
	raw, err := someStretch().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:len(raw)-sha256.Size])
	f.Add([]byte(stretchMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		s, err := decodeStretch(append(bytes.Clone(body), sum[:]...))
		if err != nil {
			return
		}
		raw, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeStretch(raw)
		if err != nil || !again.equal(s) {
			t.Errorf("%x does not read again: %v", raw, err)
		}
	})
}
