package kalam

import (
	"encoding/json"
	"testing"
)

// FuzzParseFileRef: whatever a cell holds, a reference that is read is read again
// from what it is written as.
func FuzzParseFileRef(f *testing.F) {
	f.Add([]byte(`"{\"id\":\"12\",\"sub\":\"f0001\",\"name\":\"a.txt\",\"size\":3,\"mime\":\"text/plain\",\"sha256\":\"00\"}"`))
	f.Add([]byte(`null`))
	f.Add([]byte(`"[]"`))
	f.Fuzz(func(t *testing.T, cell []byte) {
		ref, err := ParseFileRef(cell)
		if err != nil {
			return
		}
		text, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if other, err := ParseFileRef(again); err != nil || other != ref {
			t.Errorf("%q is %+v, then %+v, %v", cell, ref, other, err)
		}
	})
}
