package backup

import "testing"

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
