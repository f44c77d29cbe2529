package backup

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"kalamdb/internal/store"
)

// someStretch is a stretch of two commands, one behind a commit that is left out.
func someStretch() *Stretch {
	return &Stretch{
		ID: store.ArchiveID{1, 2, 15: 16}, Number: 7, From: 383333357477433345, Through: 383333357477433400,
		Entries: []store.LogEntry{
			{Position: 383333357477433346, Prior: 383333357477433345, Command: []byte("one")},
			{Position: 383333357477433400, Prior: 383333357477433350, Command: []byte("another")},
		},
	}
}

// The bytes of a file of an archive are those of docs/format/archive.md.
func TestArchiveGolden(t *testing.T) {
	raw, err := someStretch().encode()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/stretch.hex"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(hex.EncodeToString(raw)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// What gzip makes of the commands is its own affair; what it reads is not.
	if !bytes.Equal(raw[:stretchHead-8], want[:stretchHead-8]) {
		t.Errorf("the file begins with %x", raw[:stretchHead-8])
	}
	s, err := decodeStretch(want)
	if err != nil || !s.equal(someStretch()) {
		t.Errorf("it reads as %+v, %v", s, err)
	}
}

// A file with any byte changed, or cut anywhere, is refused, and so is one whose
// positions do not rise.
func TestArchiveFileRefused(t *testing.T) {
	raw, err := someStretch().encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		broken := bytes.Clone(raw)
		broken[i] ^= 1
		if s, err := decodeStretch(broken); err == nil {
			t.Errorf("with byte %d changed it reads as %+v", i, s)
		}
		if s, err := decodeStretch(raw[:i]); err == nil {
			t.Errorf("cut at %d it reads as %+v", i, s)
		}
	}
	for name, change := range map[string]func(*Stretch){
		"nothing":         func(s *Stretch) { s.Entries = nil },
		"before":          func(s *Stretch) { s.Entries[0].Prior = s.From - 1 },
		"falls":           func(s *Stretch) { s.Entries[1].Position = s.Entries[0].Position },
		"behind":          func(s *Stretch) { s.Through-- },
		"short":           func(s *Stretch) { s.Through++ },
		"overlaps itself": func(s *Stretch) { s.Entries[1].Prior = s.Entries[0].Position - 1 },
		"empty":           func(s *Stretch) { s.From = s.Through },
	} {
		s := someStretch()
		change(s)
		raw, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if s, err := decodeStretch(raw); err == nil {
			t.Errorf("%s: it reads as %+v", name, s)
		}
	}
}
