package backup

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// sample is a manifest with one of everything.
func sample() *Manifest {
	sum := strings.Repeat("0f", 32)
	return &Manifest{
		Kind: manifestKind, Version: manifestVersion, ID: "0551dfa85b001001-660f656c9ba74", CreatedAt: 1795460994546292, Server: "0.1.0", Position: 383333357477433345,
		Engine:   []Object{{Name: "FORMAT", Size: 10, Checksum: sum}, {Name: "hot/000002.log", Size: 5, Checksum: sum}},
		Segments: []Segment{{File: 1, Storage: "local", Path: "app/t/batch-0.parquet", Size: 7, Checksum: sum}},
		Tables:   []Table{{Namespace: "app", Name: "t", Kind: "shared", Version: 1, HotRows: 2, ColdRows: 3, Files: 1, Bytes: 7}},
	}
}

// The bytes of a manifest are those of docs/format/backup.md.
func TestManifestGolden(t *testing.T) {
	text, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/backup.json"
	if *rewrite {
		if err := os.WriteFile(golden, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("the manifest is\n%s", text)
	}
	m, err := decode(want)
	if err != nil || m.Position != sample().Position || m.Bytes() != 22 {
		t.Errorf("it reads as %+v, %v", m, err)
	}
}

// A manifest with any byte changed is refused, and so is one whose names lead
// out of the places of a restore.
func TestManifestRefused(t *testing.T) {
	text, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range text {
		broken := bytes.Clone(text)
		broken[i] = c ^ 1
		if m, err := decode(broken); err == nil && !bytes.ContainsRune([]byte(" \n!\v"), rune(c^1)) {
			t.Errorf("byte %d changed from %q to %q reads as %+v", i, c, c^1, m)
		}
	}
	for name, change := range map[string]func(*Manifest){
		"id":            func(m *Manifest) { m.ID = "../x" },
		"engine up":     func(m *Manifest) { m.Engine[1].Name = "hot/../../x" },
		"engine other":  func(m *Manifest) { m.Engine[1].Name = "x" },
		"engine format": func(m *Manifest) { m.Engine = m.Engine[1:] },
		"segment up":    func(m *Manifest) { m.Segments[0].Path = "../x" },
		"segment root":  func(m *Manifest) { m.Segments[0].Path = "/etc/x" },
		"segment sum":   func(m *Manifest) { m.Segments[0].Checksum = "../x" },
		"newer":         func(m *Manifest) { m.Version++ },
	} {
		m := sample()
		change(m)
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(text); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
